//! Label sets: validated once, read on demand.

use std::borrow::Cow;

use super::text::{LABEL, name_end, trim_start};

/// The labels of one sample.
///
/// Holds the valid text between the braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    text: &'a str,
}

impl<'a> Labels<'a> {
    pub(super) const NONE: Labels<'static> = Labels { text: "" };

    /// Returns the value of the first label with this name.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Iterates over names and unescaped values in the order of the line.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            let (pair, after) = pair(rest)?;
            rest = after;
            let value = if pair.escaped {
                unescape(pair.value).into()
            } else {
                pair.value.into()
            };
            Some((pair.name, value))
        })
    }
}

/// Parses a label set up to its closing brace and returns it with the rest of the text. `text` starts after the opening
/// brace.
pub(super) fn split(text: &str) -> Option<(Labels<'_>, &str)> {
    let mut rest = text;
    loop {
        let here = trim_start(rest);
        if let Some(after) = here.strip_prefix('}') {
            let length = text.len() - after.len() - 1;
            let labels = Labels {
                text: &text[..length],
            };
            return Some((labels, after));
        }
        // A comma belongs to the pair before it, so a lone comma is an error.
        (_, rest) = pair(here)?;
    }
}

struct Pair<'a> {
    name: &'a str,
    value: &'a str,
    escaped: bool,
}

/// Parses one `name="value"` and the comma after it. Without a comma, the closing brace or the end of the text must
/// follow.
fn pair(text: &str) -> Option<(Pair<'_>, &str)> {
    let text = trim_start(text);
    let (name, rest) = text.split_at(name_end(text, LABEL)?);
    // The fast path: there are hardly ever blanks.
    let value = match rest.strip_prefix("=\"") {
        Some(value) => value,
        None => trim_start(trim_start(rest).strip_prefix('=')?).strip_prefix('"')?,
    };
    let (length, escaped) = quoted(value.as_bytes())?;
    let after = trim_start(&value[length + 1..]);
    let after = match after.as_bytes().first() {
        Some(b',') => &after[1..],
        None | Some(b'}') => after,
        Some(_) => return None,
    };
    let pair = Pair {
        name,
        value: &value[..length],
        escaped,
    };
    Some((pair, after))
}

/// Returns the length of the text up to the closing quote, and whether it contains escapes.
fn quoted(text: &[u8]) -> Option<(usize, bool)> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        // Values are short, so a plain loop is faster than a vectorised search.
        let special = |byte: &u8| matches!(byte, b'"' | b'\\');
        let found = at + text[at..].iter().position(special)?;
        if text[found] == b'"' {
            return Some((found, escaped));
        }
        if !matches!(text.get(found + 1), Some(b'"' | b'\\' | b'n')) {
            return None;
        }
        escaped = true;
        at = found + 2;
    }
}

/// Resolves `\\`, `\"` and `\n`, the only escapes of the format.
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}
