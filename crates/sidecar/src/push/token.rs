//! The token that a sidecar shows: a file that the kubelet renews.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;

/// The kubelet renews a token when a fifth of its time is left, twelve minutes of an hour; looking once a minute is
/// soon enough.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// A token file, and what it held when it was last read.
#[derive(Debug)]
pub(super) struct Token {
    file: PathBuf,
    held: Option<(Instant, HeaderValue)>,
}

impl Token {
    pub(super) fn in_file(file: PathBuf) -> Self {
        Self { file, held: None }
    }

    /// The value of the `authorization` header.
    ///
    /// # Errors
    /// If the file cannot be read or holds no token, in words.
    pub(super) fn header(&mut self) -> Result<HeaderValue, String> {
        if let Some((at, header)) = &self.held
            && at.elapsed() < BELIEVED_FOR
        {
            return Ok(header.clone());
        }
        let file = self.file.display();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| format!("cannot read the token in {file}: {error}"))?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
            .map_err(|_| format!("{file} holds no token"))?;
        // Kept out of whatever prints a header.
        header.set_sensitive(true);
        self.held = Some((Instant::now(), header.clone()));
        Ok(header)
    }

    /// It was refused: the file may hold another one by now.
    pub(super) fn doubt(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_doubted_is_read_again() {
        let file = std::env::temp_dir().join(format!("pushscale-token-{}", std::process::id()));
        std::fs::write(&file, "first\n").unwrap();
        let mut token = Token::in_file(file.clone());
        assert_eq!(token.header().unwrap(), "Bearer first");
        std::fs::write(&file, "second").unwrap();
        assert_eq!(token.header().unwrap(), "Bearer first");
        token.doubt();
        assert_eq!(token.header().unwrap(), "Bearer second");
        std::fs::remove_file(&file).unwrap();
        token.doubt();
        let error = token.header().unwrap_err();
        assert!(error.contains("cannot read the token in"), "{error}");
    }
}
