//! How many connections there may be: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::TurnedAway;

/// The places of one server.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    most: u32,
    taken_by: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_of_one: usize,
}

/// A connection's place, given back when dropped.
pub(super) struct Place {
    _any: OwnedSemaphorePermit,
    address: IpAddr,
    taken_by: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most)),
            most: u32::try_from(most).unwrap_or(u32::MAX),
            taken_by: Arc::default(),
            most_of_one,
        }
    }

    pub(super) fn take(&self, address: IpAddr) -> Result<Place, TurnedAway> {
        let any = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| TurnedAway::Full)?;
        let mut taken_by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = taken_by.entry(address).or_default();
        if *taken >= self.most_of_one {
            return Err(TurnedAway::TooManyOfOneAddress);
        }
        *taken += 1;
        Ok(Place {
            _any: any,
            address,
            taken_by: Arc::clone(&self.taken_by),
        })
    }

    /// Waits until all places are given back, at most so long; says whether they were.
    pub(super) async fn all_given_back(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.all.acquire_many(self.most))
            .await
            .is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken_by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = taken_by.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                taken_by.remove(&self.address);
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
    fn one_address_cannot_take_all_places() {
        let places = Places::new(3, 2);
        let first = places.take(ONE).unwrap();
        let _second = places.take(ONE).unwrap();
        let third = places.take(ONE).err();
        assert_eq!(third, Some(TurnedAway::TooManyOfOneAddress));
        let _other = places.take(OTHER).unwrap();
        assert_eq!(places.take(OTHER).err(), Some(TurnedAway::Full));
        drop(first);
        assert!(places.take(ONE).is_ok());
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let places = Places::new(3, 2);
        drop(places.take(ONE));
        assert!(places.taken_by.lock().unwrap().is_empty());
    }
}
