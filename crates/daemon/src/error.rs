//! Printing an error with its causes.

use std::error::Error;
use std::fmt;

/// Displays `error` and its sources as `outer: inner: innermost`.
///
/// Errors of the Pushscale crates do not repeat their source in their own text. Some errors of other crates do: a
/// source is skipped if the text before it ends with it.
pub fn chain<'a>(error: &'a (dyn Error + 'a)) -> Chain<'a> {
    Chain(error)
}

/// An error with its sources; see [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut printed = self.0.to_string();
        f.write_str(&printed)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !printed.ends_with(&text) {
                write!(f, ": {text}")?;
                printed = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("failed to load the certificate")]
    struct Outer(#[source] Middle);

    #[derive(Debug, Error)]
    #[error("failed to read tls.crt: {0}")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn each_cause_is_printed_once() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Outer(Middle(missing));
        assert_eq!(
            chain(&error).to_string(),
            "failed to load the certificate: failed to read tls.crt: no such file"
        );
    }
}
