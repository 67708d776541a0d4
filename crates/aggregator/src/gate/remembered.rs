//! Tokens that were reviewed, by their SHA-256: what is not kept cannot leak.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Known, Turned};

/// The largest cluster has 150,000 pods; a token is renewed before it ends, so a pod may have two.
const MOST: usize = 300_000;

/// How long a denied token is remembered as denied.
const DENIED_FOR: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Remembered(Mutex<HashMap<[u8; 32], Arc<Slot>>>);

/// What is known of one token, or being found out.
pub(super) struct Slot {
    pub(super) verdict: OnceCell<Result<Arc<Known>, Turned>>,
    pub(super) expires: SystemTime,
    made: Instant,
}

impl Slot {
    fn lives(&self, now: SystemTime) -> bool {
        self.expires > now && !self.denial_is_over()
    }

    /// Denied some time ago: to be asked about anew.
    fn denial_is_over(&self) -> bool {
        matches!(self.verdict.get(), Some(Err(_))) && self.made.elapsed() >= DENIED_FOR
    }
}

impl Remembered {
    pub(super) fn get(&self, token: &str) -> Option<Arc<Slot>> {
        // Before the lock: a microsecond of every push, which others need not wait for.
        let digest = digest(token);
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(&digest)?;
        (!slot.denial_is_over()).then(|| Arc::clone(slot))
    }

    /// A place for a token that is not known. If there is none, nobody new is asked about until some expire.
    pub(super) fn make(&self, token: &str, expires: SystemTime) -> Result<Arc<Slot>, Turned> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST {
            let now = SystemTime::now();
            slots.retain(|_, slot| slot.lives(now));
            if slots.len() >= MOST {
                return Err(Turned::NotReviewed);
            }
        }
        let new = || {
            Arc::new(Slot {
                verdict: OnceCell::new(),
                expires,
                made: Instant::now(),
            })
        };
        let slot = slots.entry(digest(token)).or_insert_with(new);
        if slot.denial_is_over() {
            *slot = new();
        }
        Ok(Arc::clone(slot))
    }

    /// A review that failed leaves no trace: until when a token holds, it alone has said so far, and a forged one may say
    /// any time.
    pub(super) fn forget_unreviewed(&self, token: &str) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digest(token);
        if slots
            .get(&digest)
            .is_some_and(|slot| slot.verdict.get().is_none())
        {
            slots.remove(&digest);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn forget(&self, token: &str) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&digest(token));
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
