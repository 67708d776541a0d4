//! Errors of JSON whose messages have a limited length.

use std::error::Error;
use std::fmt;

/// The number of characters of a message that are shown.
const MAX_CHARS: usize = 200;

/// An error in a JSON text. serde's messages repeat values of the text, which may be as long as the text itself, so a
/// long message is cut.
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.0.to_string();
        match message.char_indices().nth(MAX_CHARS) {
            None => f.write_str(&message),
            Some((end, _)) => {
                let (line, column) = (self.0.line(), self.0.column());
                write!(f, "{}… at line {line} column {column}", &message[..end])
            }
        }
    }
}

impl Error for JsonError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> JsonError {
        serde_json::from_str::<u32>(text).unwrap_err().into()
    }

    #[test]
    fn only_a_long_message_is_cut() {
        assert_eq!(
            error("\"a\"").to_string(),
            "invalid type: string \"a\", expected u32 at line 1 column 3"
        );
        let long = error(&format!("\"{}\"", "é".repeat(100_000))).to_string();
        assert!(long.starts_with("invalid type: string \"éé"), "{long}");
        assert!(long.ends_with("é… at line 1 column 200002"), "{long}");
        assert!(long.len() < 1000, "{}", long.len());
    }
}
