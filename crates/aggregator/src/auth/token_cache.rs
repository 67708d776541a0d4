//! Review results by the token's SHA-256, so that no token can leak from here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{AuthError, AuthenticatedPod};

/// Maximum entries. The largest cluster has 150,000 pods, each with two tokens around a renewal.
const CAPACITY: usize = 300_000;

/// How long a denial is cached.
const DENIAL_TTL: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct TokenCache(Mutex<HashMap<[u8; 32], Arc<CacheEntry>>>);

/// One token; its review may still be in progress.
pub(super) struct CacheEntry {
    pub(super) result: OnceCell<Result<Arc<AuthenticatedPod>, AuthError>>,
    pub(super) expires: SystemTime,
    created: Instant,
}

impl CacheEntry {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires > now && !self.is_expired_denial()
    }

    /// Whether the token was denied so long ago that it must be reviewed again.
    fn is_expired_denial(&self) -> bool {
        matches!(self.result.get(), Some(Err(_))) && self.created.elapsed() >= DENIAL_TTL
    }
}

impl TokenCache {
    pub(super) fn get(&self, token: &str) -> Option<Arc<CacheEntry>> {
        // Hashing takes a microsecond of every push; do it before taking the lock.
        let digest = digest(token);
        let entries = self.0.lock();
        let entry = entries.get(&digest)?;
        (!entry.is_expired_denial()).then(|| Arc::clone(entry))
    }

    /// Returns the entry of a token, creating it if necessary. Fails while the cache is full of valid entries.
    pub(super) fn insert(
        &self,
        token: &str,
        expires: SystemTime,
    ) -> Result<Arc<CacheEntry>, AuthError> {
        let mut entries = self.0.lock();
        if entries.len() >= CAPACITY {
            let now = SystemTime::now();
            entries.retain(|_, entry| entry.is_valid(now));
            if entries.len() >= CAPACITY {
                return Err(AuthError::ReviewUnavailable);
            }
        }
        let new = || {
            Arc::new(CacheEntry {
                result: OnceCell::new(),
                expires,
                created: Instant::now(),
            })
        };
        let entry = entries.entry(digest(token)).or_insert_with(new);
        if entry.is_expired_denial() {
            *entry = new();
        }
        Ok(Arc::clone(entry))
    }

    /// Removes the token if its review failed: its expiry is unverified, and a forged token may claim any.
    pub(super) fn remove_unreviewed(&self, token: &str) {
        let mut entries = self.0.lock();
        let digest = digest(token);
        if entries
            .get(&digest)
            .is_some_and(|entry| entry.result.get().is_none())
        {
            entries.remove(&digest);
        }
    }

    pub(super) fn remove(&self, token: &str) {
        self.0.lock().remove(&digest(token));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
