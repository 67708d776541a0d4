//! The token of the management port, from a file with only the token or from TorchServe's `key_file.json`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use serde::Deserialize;

/// Interval of requests for a new key.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);

/// The token, and the file that contains it.
#[derive(Debug)]
pub(super) struct Token {
    file: Option<PathBuf>,
    keys: Option<Keys>,
    renewed: Option<Instant>,
    is_unreadable: bool,
}

/// The keys in the file, as values of the header `authorization`.
#[derive(Clone, Debug, PartialEq)]
struct Keys {
    management: HeaderValue,
    /// The key that replaces the others.
    api: Option<HeaderValue>,
}

impl Token {
    /// Reads the token from the file, if there is one.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let mut token = Self {
            file,
            keys: None,
            renewed: None,
            is_unreadable: false,
        };
        token.reload();
        token
    }

    /// The header `authorization`.
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        self.keys.as_ref().map(|keys| &keys.management)
    }

    /// Reads the file again, and returns whether it has other keys than before.
    pub(super) fn reload(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let keys = match std::fs::read_to_string(file) {
            Ok(text) => {
                self.is_unreadable = false;
                Keys::parse(&text)
            }
            Err(error) => {
                // Once, not in each scrape.
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    tracing::warn!(file = %file.display(), %error, "failed to read the management token");
                }
                None
            }
        };
        let has_changed = keys != self.keys;
        self.keys = keys;
        has_changed
    }

    /// Returns the API key to request a new management key with at `now`, if the file has one and no request was made
    /// within the last minute.
    pub(super) fn renew_with(&mut self, now: Instant) -> Option<HeaderValue> {
        let api_key = self.keys.as_ref()?.api.clone()?;
        if self.renewed.is_some_and(|at| now < at + RENEW_INTERVAL) {
            return None;
        }
        self.renewed = Some(now);
        Some(api_key)
    }
}

impl Keys {
    fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct KeyFile {
            management: Key,
            #[serde(rename = "API")]
            api: Option<Key>,
        }
        #[derive(Deserialize)]
        struct Key {
            key: String,
        }
        let (management, api) = match serde_json::from_str::<KeyFile>(text) {
            Ok(file) => (file.management.key, file.api),
            Err(_) => (text.trim().to_owned(), None),
        };
        Some(Self {
            management: bearer(&management)?,
            api: api.and_then(|api| bearer(&api.key)),
        })
    }
}

fn bearer(key: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_plain_text_or_the_management_key_of_a_key_file() {
        let plain = Keys::parse("abc\n").unwrap();
        assert_eq!(plain.management, "Bearer abc");
        assert_eq!(plain.api, None);
        let key_file = r#"{"management": {"key": "m", "expiration time": "x"},
                           "inference": {"key": "i"}, "API": {"key": "a"}}"#;
        let keys = Keys::parse(key_file).unwrap();
        assert_eq!(keys.management, "Bearer m");
        assert_eq!(keys.api.unwrap(), "Bearer a");
        assert!(Keys::parse("two\nlines").is_none());
        assert!(keys.management.is_sensitive());
    }
}
