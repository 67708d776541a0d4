//! Bounds the bytes of the reviews in progress, in total and per client address.

use std::net::IpAddr;
use std::time::Duration;

use pushscale_daemon::fair_semaphore::{ClientSemaphore, FairPermit, FairSemaphore};
use tokio::time::timeout;

use crate::server::MAX_BODY_BYTES;

/// The bytes of one permit. Most reviews are smaller.
const UNIT: usize = 64 << 10;

/// The bytes of all bodies in progress.
const TOTAL_BYTES: usize = 6 << 20;

/// The bytes of one address: the largest body. One address cannot use the whole budget.
const ADDRESS_BYTES: usize = MAX_BODY_BYTES;

/// How long a review waits for its share. The webhook's timeout is 5 s.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The budget of all reviews.
#[derive(Debug)]
pub(crate) struct Budget(FairSemaphore);

/// The budget of one address, which its connections share.
#[derive(Clone, Debug)]
pub(crate) struct AddressBudget(ClientSemaphore);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(FairSemaphore::new(TOTAL_BYTES / UNIT, ADDRESS_BYTES / UNIT))
    }

    /// Returns the budget of an address.
    pub(crate) fn of(&self, address: IpAddr) -> AddressBudget {
        AddressBudget(self.0.of(address))
    }
}

impl AddressBudget {
    /// Reserves the bytes of a body until the permit is dropped. Returns `None` after a timeout.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<FairPermit> {
        let units = bytes.clamp(1, MAX_BODY_BYTES).div_ceil(UNIT);
        let units = u32::try_from(units).ok()?;
        timeout(TIMEOUT, self.0.acquire(units)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_largest_body_waits_until_its_address_has_no_other_review() {
        let budget = Budget::new().of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let small = budget.reserve(1).await.unwrap();
        assert!(budget.reserve(MAX_BODY_BYTES).await.is_none());
        drop(small);
        let _large = budget.reserve(MAX_BODY_BYTES).await.unwrap();
        assert!(budget.reserve(1).await.is_none());
    }
}
