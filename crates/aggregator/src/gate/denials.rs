//! How many tokens from one address were denied of late. Each costs the API server a review.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many in one window, and the address waits for the next. A good sidecar has none.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Addresses remembered; more than have pods of one cluster misconfigured at a time.
const ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Denials {
    pub(super) fn count(&self, from: IpAddr) {
        let now = Instant::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= ADDRESSES {
            counts.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if counts.len() >= ADDRESSES {
                counts.clear();
            }
        }
        let (since, count) = counts.entry(from).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }

    pub(super) fn too_many(&self, from: IpAddr) -> bool {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(&from)
            .is_some_and(|(since, count)| *count >= MOST && since.elapsed() < WINDOW)
    }
}
