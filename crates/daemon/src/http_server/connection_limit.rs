//! Limits on concurrent connections: in total and per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConnectionRejection;

/// The connection limits of one server. Clones share the counts.
#[derive(Clone)]
pub(super) struct ConnectionLimit {
    total: Arc<Semaphore>,
    max: u32,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max_per_address: usize,
}

/// One connection's share of the limits, returned when dropped.
pub(super) struct ConnectionPermit {
    _total: OwnedSemaphorePermit,
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl ConnectionLimit {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(max)),
            max: u32::try_from(max).unwrap_or(u32::MAX),
            by_address: Arc::default(),
            max_per_address,
        }
    }

    pub(super) fn acquire(&self, address: IpAddr) -> Result<ConnectionPermit, ConnectionRejection> {
        let total = Arc::clone(&self.total)
            .try_acquire_owned()
            .map_err(|_| ConnectionRejection::LimitReached)?;
        let mut by_address = self.by_address.lock();
        let open = by_address.entry(address).or_default();
        if *open >= self.max_per_address {
            return Err(ConnectionRejection::AddressLimitReached);
        }
        *open += 1;
        Ok(ConnectionPermit {
            _total: total,
            address,
            by_address: Arc::clone(&self.by_address),
        })
    }

    /// Waits up to `timeout` until all permits are returned. Returns whether they were.
    pub(super) async fn all_returned(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.total.acquire_many(self.max))
            .await
            .is_ok()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut by_address = self.by_address.lock();
        if let Some(open) = by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));

    #[test]
    fn one_address_cannot_use_all_permits() {
        let limit = ConnectionLimit::new(3, 2);
        let first = limit.acquire(ONE).unwrap();
        let _second = limit.acquire(ONE).unwrap();
        let third = limit.acquire(ONE).err();
        assert_eq!(third, Some(ConnectionRejection::AddressLimitReached));
        let _other = limit.acquire(OTHER).unwrap();
        assert_eq!(
            limit.acquire(OTHER).err(),
            Some(ConnectionRejection::LimitReached)
        );
        drop(first);
        assert!(limit.acquire(ONE).is_ok());
    }

    #[test]
    fn an_address_without_connections_is_removed() {
        let limit = ConnectionLimit::new(3, 2);
        drop(limit.acquire(ONE));
        assert!(limit.by_address.lock().is_empty());
    }
}
