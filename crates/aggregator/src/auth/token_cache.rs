//! Review results by the token's SHA-256, so that no token can leak from here, and the reviews in progress.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::AuthError;
use super::identity::AuthenticatedPod;

/// Maximum reviewed tokens. The largest cluster has 150,000 pods, each with two tokens around a renewal.
const MAX_REVIEWED: usize = 300_000;

/// The result of a review: the pod, or why the token was rejected.
pub(super) type ReviewResult = Result<Arc<AuthenticatedPod>, AuthError>;

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Hashes a token. This takes a microsecond, so it should not be done while a lock is held.
    pub(super) fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

#[derive(Debug, Default)]
pub(super) struct TokenCache(Mutex<Tokens>);

#[derive(Debug, Default)]
struct Tokens {
    reviewed: HashMap<TokenDigest, Reviewed>,
    /// The expiry of each reviewed token, the earliest on top. A token that was reviewed again has several.
    expiries: BinaryHeap<Reverse<(Instant, TokenDigest)>>,
    in_progress: HashMap<TokenDigest, watch::Receiver<Option<ReviewResult>>>,
}

#[derive(Debug)]
struct Reviewed {
    result: ReviewResult,
    until: Instant,
}

/// How a request gets the result of a token's review.
pub(super) enum Lookup<P> {
    /// The token was reviewed.
    Reviewed(ReviewResult),
    /// Another request started the review.
    InProgress(watch::Receiver<Option<ReviewResult>>),
    /// The caller must review the token, with this permit.
    Started(P, watch::Sender<Option<ReviewResult>>),
}

impl TokenCache {
    /// Returns the result of a review that has not expired.
    pub(super) fn get(&self, digest: &TokenDigest) -> Option<ReviewResult> {
        self.0.lock().get(digest)
    }

    /// Joins the token's review, or starts one if there is none and `reserve` permits it.
    pub(super) fn join_or_start<P>(
        &self,
        digest: TokenDigest,
        reserve: impl FnOnce() -> Result<P, AuthError>,
    ) -> Result<Lookup<P>, AuthError> {
        let mut tokens = self.0.lock();
        if let Some(result) = tokens.get(&digest) {
            return Ok(Lookup::Reviewed(result));
        }
        if let Some(receiver) = tokens.in_progress.get(&digest) {
            return Ok(Lookup::InProgress(receiver.clone()));
        }
        let permit = reserve()?;
        let (sender, receiver) = watch::channel(None);
        tokens.in_progress.insert(digest, receiver);
        Ok(Lookup::Started(permit, sender))
    }

    /// Ends a review. A result with a time is cached until then.
    pub(super) fn finish(&self, digest: TokenDigest, result: ReviewResult, until: Option<Instant>) {
        let now = Instant::now();
        let mut tokens = self.0.lock();
        tokens.in_progress.remove(&digest);
        tokens.remove_expired(now);
        let Some(until) = until else { return };
        while tokens.reviewed.len() >= MAX_REVIEWED && tokens.remove_earliest() {}
        tokens.reviewed.insert(digest, Reviewed { result, until });
        tokens.expiries.push(Reverse((until, digest)));
    }

    /// Returns the number of reviewed tokens.
    pub(super) fn reviewed(&self) -> usize {
        self.0.lock().reviewed.len()
    }

    /// Returns the numbers of reviewed tokens and of reviews in progress.
    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        let tokens = self.0.lock();
        assert!(tokens.expiries.len() >= tokens.reviewed.len());
        (tokens.reviewed.len(), tokens.in_progress.len())
    }
}

impl Tokens {
    fn get(&self, digest: &TokenDigest) -> Option<ReviewResult> {
        let reviewed = self.reviewed.get(digest)?;
        (reviewed.until > Instant::now()).then(|| reviewed.result.clone())
    }

    fn remove_expired(&mut self, now: Instant) {
        while let Some(Reverse((until, _))) = self.expiries.peek()
            && *until <= now
        {
            self.remove_earliest();
        }
    }

    /// Removes the token that expires first. Returns whether there was one.
    fn remove_earliest(&mut self) -> bool {
        let Some(Reverse((until, digest))) = self.expiries.pop() else {
            return false;
        };
        // A token that was reviewed again has a later entry.
        if self
            .reviewed
            .get(&digest)
            .is_some_and(|reviewed| reviewed.until == until)
        {
            self.reviewed.remove(&digest);
        }
        true
    }
}
