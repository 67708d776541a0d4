//! Limits on concurrent connections: in total, per client address, and per IPv6 network.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConnectionRejection;

/// The connection limits of one server. Clones share the counts.
#[derive(Clone, Debug)]
pub struct ConnectionLimit {
    total: Arc<Semaphore>,
    max: u32,
    open: Arc<Mutex<Open>>,
    max_per_address: usize,
    max_per_network: usize,
}

/// One connection's share of the limits, returned when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _total: OwnedSemaphorePermit,
    address: IpAddr,
    open: Arc<Mutex<Open>>,
}

/// The number of open connections.
#[derive(Debug, Default)]
struct Open {
    by_address: HashMap<IpAddr, usize>,
    by_network: HashMap<Network, usize>,
}

/// The first 64 bits of an IPv6 address. A host can use any address of its network.
type Network = [u16; 4];

/// In a cluster, kubelets and all pods can share a network. So its limit is higher than the one of an address, and only
/// ensures that a host with many addresses cannot use all connections.
fn network(address: IpAddr) -> Option<Network> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some([a, b, c, d])
        }
    }
}

impl ConnectionLimit {
    /// Creates limits for all connections, and for those of one address.
    pub fn new(max: usize, max_per_address: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(max)),
            max: u32::try_from(max).unwrap_or(u32::MAX),
            open: Arc::default(),
            max_per_address,
            max_per_network: max - max / 4,
        }
    }

    /// Counts a connection. IPv4 clients of an IPv6 socket (`::ffff:192.0.2.1`) count as IPv4.
    ///
    /// # Errors
    /// If a limit is reached.
    pub fn acquire(&self, address: IpAddr) -> Result<ConnectionPermit, ConnectionRejection> {
        let address = address.to_canonical();
        let total = Arc::clone(&self.total)
            .try_acquire_owned()
            .map_err(|_| ConnectionRejection::LimitReached)?;
        let mut open = self.open.lock();
        let in_network = network(address).map_or(0, |network| count(&open.by_network, &network));
        if count(&open.by_address, &address) >= self.max_per_address
            || in_network >= self.max_per_network
        {
            return Err(ConnectionRejection::AddressLimitReached);
        }
        *open.by_address.entry(address).or_default() += 1;
        if let Some(network) = network(address) {
            *open.by_network.entry(network).or_default() += 1;
        }
        Ok(ConnectionPermit {
            _total: total,
            address,
            open: Arc::clone(&self.open),
        })
    }

    /// Waits up to `timeout` until all permits are returned. Returns whether they were.
    pub async fn all_returned(&self, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.total.acquire_many(self.max))
            .await
            .is_ok()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        decrement(&mut open.by_address, &self.address);
        if let Some(network) = network(self.address) {
            decrement(&mut open.by_network, &network);
        }
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: &K) -> usize {
    counts.get(key).copied().unwrap_or_default()
}

fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(open) = counts.get_mut(key) {
        *open -= 1;
        if *open == 0 {
            counts.remove(key);
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
    fn ipv4_mapped_addresses_count_as_ipv4() {
        let limit = ConnectionLimit::new(8, 1);
        let mapped = |address| match address {
            IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
            address => address,
        };
        let _one = limit.acquire(ONE).unwrap();
        let same = limit.acquire(mapped(ONE)).err();
        assert_eq!(same, Some(ConnectionRejection::AddressLimitReached));
        assert!(limit.acquire(mapped(OTHER)).is_ok());
        assert!(limit.open.lock().by_network.is_empty());
    }

    #[test]
    fn one_ipv6_network_cannot_use_all_permits() {
        let limit = ConnectionLimit::new(8, 2);
        let address = |network, host| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        let mut held: Vec<_> = (0..6)
            .map(|host| limit.acquire(address(0, host)).unwrap())
            .collect();
        let seventh = limit.acquire(address(0, 6)).err();
        assert_eq!(seventh, Some(ConnectionRejection::AddressLimitReached));
        let other = limit.acquire(address(1, 0)).unwrap();
        held.pop();
        assert!(limit.acquire(address(0, 6)).is_ok());
        drop((held, other));
        assert!(limit.open.lock().by_network.is_empty());
    }

    #[test]
    fn an_address_without_connections_is_removed() {
        let limit = ConnectionLimit::new(3, 2);
        drop(limit.acquire(ONE));
        assert!(limit.open.lock().by_address.is_empty());
    }
}
