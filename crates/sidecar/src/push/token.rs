//! The service account token, in a file that the kubelet renews.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use thiserror::Error;

/// How long a token is cached. The kubelet renews a token when a fifth of its lifetime is left, twelve minutes of an
/// hour, so reading it once per minute is enough.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// A token file and its cached content.
#[derive(Debug)]
pub(super) struct Token {
    file: PathBuf,
    cached: Option<(Instant, HeaderValue)>,
}

/// Why there is no token.
#[derive(Debug, Error)]
pub(super) enum TokenError {
    #[error("failed to read the token in {}", .file.display())]
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error("not a token: {}", .0.display())]
    Invalid(PathBuf),
}

impl Token {
    pub(super) fn in_file(file: PathBuf) -> Self {
        Self { file, cached: None }
    }

    /// Returns the value of the `authorization` header.
    ///
    /// # Errors
    /// If the file cannot be read or holds no token.
    pub(super) fn header(&mut self) -> Result<HeaderValue, TokenError> {
        if let Some((at, header)) = &self.cached
            && at.elapsed() < CACHED_FOR
        {
            return Ok(header.clone());
        }
        let text = std::fs::read_to_string(&self.file).map_err(|source| TokenError::Read {
            file: self.file.clone(),
            source,
        })?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_| TokenError::Invalid(self.file.clone()))?;
        // Debug output of the header does not show it.
        header.set_sensitive(true);
        self.cached = Some((Instant::now(), header.clone()));
        Ok(header)
    }

    /// Drops the cached token after it was rejected: the file may hold a new one.
    pub(super) fn invalidate(&mut self) {
        self.cached = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_token_is_read_again() {
        let file = std::env::temp_dir().join(format!("pushscale-token-{}", std::process::id()));
        std::fs::write(&file, "first\n").unwrap();
        let mut token = Token::in_file(file.clone());
        assert_eq!(token.header().unwrap(), "Bearer first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(token.header().unwrap(), "Bearer first");
        token.invalidate();
        assert_eq!(token.header().unwrap(), "Bearer second");
        std::fs::remove_file(&file).unwrap();
        token.invalidate();
        let error = token.header().unwrap_err();
        assert!(
            error.to_string().starts_with("failed to read the token in"),
            "{error}"
        );
    }
}
