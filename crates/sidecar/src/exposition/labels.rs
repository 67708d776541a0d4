//! A label set, checked once and read when asked.

use std::borrow::Cow;
use std::str;

use super::trim_start;

/// The labels of one sample.
///
/// Holds the text between the braces, which is known to be well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'a> {
    text: &'a [u8],
}

impl<'a> Labels<'a> {
    pub(super) const NONE: Labels<'static> = Labels { text: b"" };

    /// The value of the first label of this name.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Names and values, escapes resolved, in the order of the line.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            let (pair, after) = pair(rest)?;
            rest = after;
            let value = str::from_utf8(pair.value).ok()?;
            let value = if pair.escaped {
                unescape(value).into()
            } else {
                value.into()
            };
            Some((pair.name, value))
        })
    }
}

/// Reads a label set up to its closing brace; `text` begins after the opening one.
pub(super) fn split(text: &[u8]) -> Option<(Labels<'_>, &[u8])> {
    let mut rest = text;
    loop {
        match trim_start(rest) {
            [b'}', after @ ..] => {
                let length = text.len() - after.len() - 1;
                return Some((
                    Labels {
                        text: &text[..length],
                    },
                    after,
                ));
            }
            // A lone comma: only after a pair, which takes it along.
            [] => return None,
            here => {
                let (pair, after) = pair(here)?;
                str::from_utf8(pair.value).ok()?;
                rest = after;
            }
        }
    }
}

struct Pair<'a> {
    name: &'a str,
    value: &'a [u8],
    escaped: bool,
}

/// One `name="value"` and the comma behind it, if there is one. Without a comma, the brace or the end of the
/// text must follow.
fn pair(text: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let text = trim_start(text);
    let end = text
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))?;
    let (name, rest) = text.split_at(end);
    if name.first().is_none_or(u8::is_ascii_digit) {
        return None;
    }
    let name = str::from_utf8(name).ok()?;
    let rest = trim_start(rest).strip_prefix(b"=")?;
    let value = trim_start(rest).strip_prefix(b"\"")?;
    let (length, escaped) = quoted(value)?;
    let after = trim_start(&value[length + 1..]);
    let after = match after {
        [b',', after @ ..] => after,
        [] | [b'}', ..] => after,
        _ => return None,
    };
    let pair = Pair {
        name,
        value: &value[..length],
        escaped,
    };
    Some((pair, after))
}

/// The length of the text up to the closing quote, and whether it holds escapes.
fn quoted(text: &[u8]) -> Option<(usize, bool)> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', &text[at..])?;
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

/// `\\`, `\"` and `\n`; there are no others in the format.
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
