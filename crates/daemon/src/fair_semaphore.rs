//! A semaphore of which one client address can hold only a part.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits in total and per client address. Both are granted in order of arrival.
#[derive(Debug)]
pub struct FairSemaphore {
    total: Arc<Semaphore>,
    per_address: usize,
    by_address: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// The permits of one address, which all its connections share.
#[derive(Clone, Debug)]
pub struct AddressSemaphore {
    total: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Permits of a [`FairSemaphore`], returned when dropped.
#[derive(Debug)]
pub struct FairPermit {
    _own: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl FairSemaphore {
    /// Creates `total` permits, of which one address can hold `per_address`.
    pub fn new(total: usize, per_address: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total)),
            per_address,
            by_address: Mutex::default(),
        }
    }

    /// Returns the permits of an address.
    pub fn of(&self, address: IpAddr) -> AddressSemaphore {
        let mut by_address = self.by_address.lock();
        let own = by_address.get(&address).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| {
            // One pass for as many new addresses, so that the map stays small at a constant cost for each.
            if by_address.len() == by_address.capacity() {
                by_address.retain(|_, own| own.strong_count() > 0);
            }
            let own = Arc::new(Semaphore::new(self.per_address));
            by_address.insert(address, Arc::downgrade(&own));
            own
        });
        AddressSemaphore {
            total: Arc::clone(&self.total),
            own,
        }
    }
}

impl AddressSemaphore {
    /// Waits for `permits`. Pends forever if an address can never hold as many.
    pub async fn acquire(&self, permits: u32) -> FairPermit {
        // First the address's own: waiting for the total, one address never asks for more than its part.
        let own = acquire(&self.own, permits).await;
        FairPermit {
            _own: own,
            _total: acquire(&self.total, permits).await,
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_many_owned(permits).await {
        Ok(permit) => permit,
        // It is never closed.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(198, 18, 0, last))
    }

    #[test]
    fn one_address_cannot_hold_all_permits() {
        let semaphore = FairSemaphore::new(8, 3);
        let one = semaphore.of(address(1));
        let held = one.acquire(3).now_or_never().unwrap();
        // A second connection of the address shares its permits.
        assert!(semaphore.of(address(1)).acquire(1).now_or_never().is_none());
        assert!(semaphore.of(address(2)).acquire(3).now_or_never().is_some());
        drop(held);
        assert!(one.acquire(3).now_or_never().is_some());
    }

    #[test]
    fn all_addresses_together_cannot_hold_more_than_the_total() {
        let semaphore = FairSemaphore::new(8, 3);
        let acquire = |last| semaphore.of(address(last)).acquire(3).now_or_never();
        let one = acquire(1).unwrap();
        let _two = acquire(2).unwrap();
        assert!(acquire(3).is_none());
        drop(one);
        assert!(acquire(3).is_some());
    }

    #[test]
    fn unused_addresses_are_removed() {
        let semaphore = FairSemaphore::new(8, 3);
        let kept = semaphore.of(address(255));
        for last in 0..200 {
            drop(semaphore.of(address(last)));
        }
        assert!(semaphore.by_address.lock().len() < 20);
        assert!(Arc::ptr_eq(&kept.own, &semaphore.of(address(255)).own));
    }
}
