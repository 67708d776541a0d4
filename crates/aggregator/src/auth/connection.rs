//! The token of a connection, sent once per connection: in every push it would be half of the bytes.

use parking_lot::Mutex;

use super::token_cache::TokenDigest;

/// What is remembered of one connection: the digest of its last accepted token, never the pod itself. Each request
/// looks the digest up in the cache of reviews, so a token that has expired or whose pod is deleted is
/// rejected here too.
#[derive(Debug)]
pub(crate) struct ConnectionToken {
    /// `None` for plain HTTP: a proxy may send requests of several pods over one connection. With TLS, the connection
    /// ends in the sidecar.
    remembered: Option<Mutex<Option<TokenDigest>>>,
}

impl ConnectionToken {
    pub(crate) const fn new(tls: bool) -> Self {
        let remembered = if tls { Some(Mutex::new(None)) } else { None };
        Self { remembered }
    }

    /// Returns whether further requests of the connection need no token.
    pub(super) fn remember(&self, digest: TokenDigest) -> bool {
        let Some(remembered) = &self.remembered else {
            return false;
        };
        *remembered.lock() = Some(digest);
        true
    }

    pub(super) fn get(&self) -> Option<TokenDigest> {
        *self.remembered.as_ref()?.lock()
    }
}
