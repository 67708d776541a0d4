//! Bounds the bytes of the request bodies in progress, in total and per client address.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};

use crate::body::{self, BodyError};
use crate::fair_semaphore::{ClientSemaphore, Exhausted, FairPermit, FairSemaphore};

/// The bounds of request bodies.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// The bytes of one body.
    pub body: usize,
    /// Bodies of at most this many bytes are exempt. The limit of connections bounds them.
    pub uncounted: usize,
    /// The bytes of all bodies in progress that count.
    pub total: usize,
    /// A body counts as a multiple of this many bytes.
    pub unit: usize,
    /// How long a body waits for its share.
    pub wait: Duration,
    /// How long a client may take to send a body.
    pub timeout: Duration,
}

/// The budget of all bodies.
#[derive(Debug)]
pub struct BodyBudget {
    limits: &'static BodyLimits,
    units: FairSemaphore,
}

/// The budget of one address, which its connections share.
#[derive(Clone, Debug)]
pub struct AddressBudget {
    limits: &'static BodyLimits,
    units: ClientSemaphore,
}

impl BodyBudget {
    /// Creates an unused budget. One address can use `address` bytes of it, and at least those of one body.
    pub fn new(limits: &'static BodyLimits, address: usize) -> Self {
        let address = address.clamp(limits.body, limits.total);
        let units = FairSemaphore::new(limits.total / limits.unit, address / limits.unit);
        Self { limits, units }
    }

    /// Returns the budget of an address.
    pub fn for_address(&self, address: IpAddr) -> AddressBudget {
        AddressBudget {
            limits: self.limits,
            units: self.units.for_client(address),
        }
    }
}

impl AddressBudget {
    /// Reads a body once its share of the budget is free. The share is taken until the permit is dropped; an exempt
    /// body has none.
    ///
    /// # Errors
    /// If the body is too large, too slow or incomplete, or its share does not become free in time.
    pub async fn read(&self, body: Incoming) -> Result<(Bytes, Option<FairPermit>), BodyError> {
        let limits = self.limits;
        // Without an announced length, a body may have the maximum size.
        let announced = body.size_hint().exact();
        let bytes = announced.map_or(Ok(limits.body), usize::try_from);
        let bytes = bytes.unwrap_or(usize::MAX);
        if bytes > limits.body {
            return Err(BodyError::TooLarge(limits.body));
        }
        let permit = if bytes > limits.uncounted {
            Some(self.reserve(bytes).await?)
        } else {
            None
        };
        let body = body::read(body, limits.body, limits.timeout).await?;
        Ok((body, permit))
    }

    async fn reserve(&self, bytes: usize) -> Result<FairPermit, BodyError> {
        let units = bytes.div_ceil(self.limits.unit);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let acquired = self.units.acquire_within(units, self.limits.wait).await;
        acquired.map_err(|exhausted| match exhausted {
            Exhausted::Client => BodyError::AddressBusy,
            Exhausted::Total => BodyError::Busy,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    static LIMITS: BodyLimits = BodyLimits {
        body: 3 << 20,
        uncounted: 0,
        total: 6 << 20,
        unit: 64 << 10,
        wait: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
    };

    #[tokio::test(start_paused = true)]
    async fn the_largest_body_waits_until_its_address_has_no_other_body() {
        let budget =
            BodyBudget::new(&LIMITS, LIMITS.body).for_address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let small = budget.reserve(1).await.unwrap();
        let second = budget.reserve(LIMITS.body).await;
        assert!(matches!(second, Err(BodyError::AddressBusy)));
        drop(small);
        let _large = budget.reserve(LIMITS.body).await.unwrap();
        assert!(budget.reserve(1).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_fit_into_the_total_is_not_the_fault_of_its_address() {
        let budget = BodyBudget::new(&LIMITS, LIMITS.body);
        let reserve = |last| {
            let address = budget.for_address(IpAddr::V4(Ipv4Addr::new(198, 18, 0, last)));
            async move { address.reserve(LIMITS.body).await }
        };
        let _held = (reserve(1).await.unwrap(), reserve(2).await.unwrap());
        assert!(matches!(reserve(3).await, Err(BodyError::Busy)));
    }
}
