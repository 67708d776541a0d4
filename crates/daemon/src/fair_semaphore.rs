//! A semaphore of which one client can hold only a part.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Permits in total and per client, which `K` identifies: by default its address. Both are granted in order of arrival.
#[derive(Debug)]
pub struct FairSemaphore<K = IpAddr> {
    total: Arc<Semaphore>,
    per_client: usize,
    by_client: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// The permits of one client, which all its connections share.
#[derive(Clone, Debug)]
pub struct ClientSemaphore {
    total: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

/// Permits of a [`FairSemaphore`], returned when dropped.
#[derive(Debug)]
pub struct FairPermit {
    _own: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl<K: Eq + Hash> FairSemaphore<K> {
    /// Creates `total` permits, of which one client can hold `per_client`.
    pub fn new(total: usize, per_client: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total)),
            per_client,
            by_client: Mutex::default(),
        }
    }

    /// Returns the permits of a client.
    pub fn for_client(&self, client: K) -> ClientSemaphore {
        let mut by_client = self.by_client.lock();
        let own = by_client.get(&client).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| {
            // Sweeps when the map is full: amortized constant cost per client.
            if by_client.len() == by_client.capacity() {
                by_client.retain(|_, own| own.strong_count() > 0);
            }
            let own = Arc::new(Semaphore::new(self.per_client));
            by_client.insert(client, Arc::downgrade(&own));
            own
        });
        ClientSemaphore {
            total: Arc::clone(&self.total),
            own,
        }
    }
}

/// Which permits did not become free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// Those of the client.
    Client,
    /// Those of all clients.
    Total,
}

impl ClientSemaphore {
    /// Waits for `permits` for at most `wait`.
    ///
    /// # Errors
    /// If they do not become free in time.
    pub async fn acquire_within(
        &self,
        permits: u32,
        wait: Duration,
    ) -> Result<FairPermit, Exhausted> {
        let deadline = Instant::now() + wait;
        let own = timeout_at(deadline, acquire(&self.own, permits)).await;
        let own = own.map_err(|_| Exhausted::Client)?;
        let total = timeout_at(deadline, acquire(&self.total, permits)).await;
        Ok(FairPermit {
            _own: own,
            _total: total.map_err(|_| Exhausted::Total)?,
        })
    }

    /// Waits for `permits`. Pends forever if a client can never hold as many.
    pub async fn acquire(&self, permits: u32) -> FairPermit {
        // First the client's own: waiting for the total, one client never asks for more than its part.
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
        let one = semaphore.for_client(address(1));
        let held = one.acquire(3).now_or_never().unwrap();
        // A second connection of the address shares its permits.
        assert!(
            semaphore
                .for_client(address(1))
                .acquire(1)
                .now_or_never()
                .is_none()
        );
        assert!(
            semaphore
                .for_client(address(2))
                .acquire(3)
                .now_or_never()
                .is_some()
        );
        drop(held);
        assert!(one.acquire(3).now_or_never().is_some());
    }

    #[test]
    fn all_addresses_together_cannot_hold_more_than_the_total() {
        let semaphore = FairSemaphore::new(8, 3);
        let acquire = |last| {
            semaphore
                .for_client(address(last))
                .acquire(3)
                .now_or_never()
        };
        let one = acquire(1).unwrap();
        let _two = acquire(2).unwrap();
        assert!(acquire(3).is_none());
        drop(one);
        assert!(acquire(3).is_some());
    }

    #[test]
    fn unused_addresses_are_removed() {
        let semaphore = FairSemaphore::new(8, 3);
        let kept = semaphore.for_client(address(255));
        for last in 0..200 {
            drop(semaphore.for_client(address(last)));
        }
        assert!(semaphore.by_client.lock().len() < 20);
        assert!(Arc::ptr_eq(
            &kept.own,
            &semaphore.for_client(address(255)).own
        ));
    }
}
