//! Limits the reviews that one address may cause: those in progress, and those of denied tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Reviews of one address that are in progress or ended with a denial in the current window. A well-behaved sidecar has
/// one in progress, once per token, and no denials.
const MAX_PER_ADDRESS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum tracked addresses: more than a cluster has misconfigured pods at one time, and than reviews in progress.
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct AddressLimiter(Mutex<HashMap<IpAddr, Usage>>);

#[derive(Debug)]
struct Usage {
    in_progress: u32,
    denials: u32,
    window_start: Instant,
}

impl Usage {
    /// Starts a new window if the current one is over.
    fn advance(&mut self, now: Instant) {
        if now.duration_since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.denials = 0;
        }
    }

    /// Whether the entry can be dropped. After a restart every pod has a review, but few have a denial.
    fn is_idle(&self, now: Instant) -> bool {
        let is_over = now.duration_since(self.window_start) >= WINDOW;
        self.in_progress == 0 && (self.denials == 0 || is_over)
    }
}

/// The permit of an address for one review. Dropping it ends the review.
#[derive(Debug)]
pub(super) struct ReviewPermit {
    limiter: Arc<AddressLimiter>,
    address: IpAddr,
}

impl AddressLimiter {
    /// Reserves a review *before* it starts, so that requests in parallel cannot exceed the limit. `None` means that
    /// the address must wait.
    pub(super) fn try_reserve(self: &Arc<Self>, address: IpAddr) -> Option<ReviewPermit> {
        let now = Instant::now();
        let mut addresses = self.0.lock();
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, usage| !usage.is_idle(now));
            if addresses.len() >= MAX_ADDRESSES {
                // Forget denials rather than reject addresses that have none.
                addresses.retain(|_, usage| usage.in_progress > 0);
            }
        }
        let usage = addresses.entry(address).or_insert(Usage {
            in_progress: 0,
            denials: 0,
            window_start: now,
        });
        usage.advance(now);
        if usage.in_progress + usage.denials >= MAX_PER_ADDRESS {
            return None;
        }
        usage.in_progress += 1;
        Some(ReviewPermit {
            limiter: Arc::clone(self),
            address,
        })
    }
}

impl ReviewPermit {
    /// Counts a denial against the address.
    pub(super) fn record_denial(self) {
        if let Some(usage) = self.limiter.0.lock().get_mut(&self.address) {
            usage.advance(Instant::now());
            usage.denials += 1;
        }
    }
}

impl Drop for ReviewPermit {
    fn drop(&mut self) {
        if let Some(usage) = self.limiter.0.lock().get_mut(&self.address) {
            usage.in_progress -= 1;
        }
    }
}
