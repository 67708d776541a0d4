//! Limits denied tokens per address: each one costs the API server a review.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Denials after which an address must wait for the next window. A well-behaved sidecar has none.
const MAX_DENIALS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum tracked addresses: more than a cluster has misconfigured pods at one time.
const MAX_ADDRESSES: usize = 4096;

/// Start of the window and denials in it, by address.
#[derive(Debug, Default)]
pub(super) struct DenialLimiter(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl DenialLimiter {
    pub(super) fn record(&self, address: IpAddr) {
        let now = Instant::now();
        let mut denials = self.0.lock();
        if denials.len() >= MAX_ADDRESSES {
            denials.retain(|_, (start, _)| now.duration_since(*start) < WINDOW);
            if denials.len() >= MAX_ADDRESSES {
                denials.clear();
            }
        }
        let (start, count) = denials.entry(address).or_insert((now, 0));
        if now.duration_since(*start) >= WINDOW {
            (*start, *count) = (now, 0);
        }
        *count += 1;
    }

    pub(super) fn is_exceeded(&self, address: IpAddr) -> bool {
        self.0
            .lock()
            .get(&address)
            .is_some_and(|(start, count)| *count >= MAX_DENIALS && start.elapsed() < WINDOW)
    }
}
