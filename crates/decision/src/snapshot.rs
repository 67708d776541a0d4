//! Snapshots of a scaler's state, so that a recorded decision can be replayed elsewhere.
//!
//! Each type has one `visit` function that passes its fields to a [`Snapshot`] in a fixed order. While encoding, the
//! snapshot appends each value; while decoding, it overwrites each value. One function for both directions cannot
//! disagree with itself.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;

/// The longest list that a valid snapshot contains.
const MAX_LENGTH: usize = 1 << 20;

/// A scaler's state as a sequence of 64-bit words.
///
/// `Display` writes the words in hexadecimal, separated by spaces; [`parse`](Self::parse) reads them. The layout may
/// differ between releases: [`Scaler::restore`](crate::Scaler::restore) rejects a snapshot that does not match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    words: Vec<u64>,
    position: usize,
    decoding: bool,
    corrupt: bool,
}

impl Snapshot {
    /// Parses the text of a snapshot; `None` if it contains anything but hexadecimal words.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Option<Vec<u64>> = text
            .split_ascii_whitespace()
            .map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        Some(Self {
            words: words?,
            ..Self::default()
        })
    }

    /// Returns the size in memory, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.words.len() * size_of::<u64>()
    }

    /// Switches to decoding, from the first word.
    pub(crate) fn start_decoding(&mut self) {
        (self.position, self.decoding, self.corrupt) = (0, true, false);
    }

    /// Whether every word was decoded and none was missing.
    pub(crate) fn fully_decoded(&self) -> bool {
        !self.corrupt && self.position == self.words.len()
    }

    pub(crate) fn u64(&mut self, value: &mut u64) {
        if !self.decoding {
            self.words.push(*value);
            return;
        }
        match self.words.get(self.position) {
            Some(word) => {
                *value = *word;
                self.position += 1;
            }
            None => self.corrupt = true,
        }
    }

    pub(crate) fn f64(&mut self, value: &mut f64) {
        let mut bits = value.to_bits();
        self.u64(&mut bits);
        *value = f64::from_bits(bits);
    }

    pub(crate) fn f32(&mut self, value: &mut f32) {
        let mut bits = value.to_bits();
        self.u32(&mut bits);
        *value = f32::from_bits(bits);
    }

    pub(crate) fn u32(&mut self, value: &mut u32) {
        let mut wide = u64::from(*value);
        self.u64(&mut wide);
        *value = u32::try_from(wide).unwrap_or_else(|_| {
            self.corrupt = true;
            0
        });
    }

    pub(crate) fn usize(&mut self, value: &mut usize) {
        let mut wide = *value as u64;
        self.u64(&mut wide);
        *value = usize::try_from(wide).unwrap_or_else(|_| {
            self.corrupt = true;
            0
        });
    }

    pub(crate) fn bool(&mut self, value: &mut bool) {
        let mut word = u64::from(*value);
        self.u64(&mut word);
        *value = word != 0;
    }

    pub(crate) fn duration(&mut self, value: &mut Duration) {
        let (mut seconds, mut nanos) = (value.as_secs(), value.subsec_nanos());
        self.u64(&mut seconds);
        self.u32(&mut nanos);
        *value = Duration::new(seconds, nanos.min(999_999_999));
    }

    pub(crate) fn moment(&mut self, value: &mut Moment) {
        let mut since = value.since_origin();
        self.duration(&mut since);
        *value = Moment::at(since);
    }

    /// One of `all`, stored as its index.
    pub(crate) fn choice<T: Copy + PartialEq>(&mut self, value: &mut T, all: &[T]) {
        let mut index = all.iter().position(|one| one == value).unwrap_or(0);
        self.usize(&mut index);
        match all.get(index) {
            Some(found) => *value = *found,
            None => self.corrupt = true,
        }
    }

    pub(crate) fn string(&mut self, value: &mut String) {
        let mut length = value.len();
        self.usize(&mut length);
        let mut bytes = std::mem::take(value).into_bytes();
        bytes.resize(self.checked_length(length), 0);
        for chunk in bytes.chunks_mut(8) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            let mut word = u64::from_le_bytes(eight);
            self.u64(&mut word);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        *value = String::from_utf8(bytes).unwrap_or_else(|_| {
            self.corrupt = true;
            String::new()
        });
    }

    /// An optional value; `blank` creates the value to decode into.
    pub(crate) fn option<T>(
        &mut self,
        value: &mut Option<T>,
        blank: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut present = value.is_some();
        self.bool(&mut present);
        if present {
            visit(self, value.get_or_insert_with(blank));
        } else {
            *value = None;
        }
    }

    /// A list of any length; `blank` creates an element to decode into.
    pub(crate) fn list<T>(
        &mut self,
        list: &mut Vec<T>,
        mut blank: impl FnMut() -> T,
        mut visit: impl FnMut(&mut Self, &mut T),
    ) {
        let mut length = list.len();
        self.usize(&mut length);
        let length = self.checked_length(length);
        if self.decoding {
            list.clear();
            // A corrupt length must not create a million blank elements: the list ends with the words.
            while list.len() < length && !self.corrupt {
                let mut item = blank();
                visit(self, &mut item);
                list.push(item);
            }
        } else {
            for item in list {
                visit(self, item);
            }
        }
    }

    fn checked_length(&mut self, length: usize) -> usize {
        if length > MAX_LENGTH || (self.decoding && length > 8 * self.words.len()) {
            self.corrupt = true;
            return 0;
        }
        length
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{word:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(snapshot: &mut Snapshot, text: &mut String, spans: &mut Vec<Option<Duration>>) {
        snapshot.string(text);
        snapshot.list(
            spans,
            || None,
            |snapshot, span| snapshot.option(span, Duration::default, Snapshot::duration),
        );
    }

    #[test]
    fn a_snapshot_survives_encoding_as_text() {
        let mut text = "torchserve-ß-7".to_owned();
        let mut spans = vec![Some(Duration::new(7, 13)), None, Some(Duration::MAX)];
        let mut encoded = Snapshot::default();
        visit(&mut encoded, &mut text, &mut spans);
        let mut decoded = Snapshot::parse(&encoded.to_string()).unwrap();
        decoded.start_decoding();
        let (mut decoded_text, mut decoded_spans) = (String::new(), Vec::new());
        visit(&mut decoded, &mut decoded_text, &mut decoded_spans);
        assert!(decoded.fully_decoded());
        assert_eq!((decoded_text, decoded_spans), (text, spans));
    }

    #[test]
    fn a_corrupt_snapshot_is_detected() {
        let mut snapshot = Snapshot::default();
        let mut list = vec![1_u64; 100];
        snapshot.list(&mut list, || 0, Snapshot::u64);
        for length in 0..snapshot.words.len() {
            let mut truncated = snapshot.clone();
            truncated.words.truncate(length);
            truncated.start_decoding();
            let mut list = Vec::new();
            truncated.list(&mut list, || 0, Snapshot::u64);
            assert!(!truncated.fully_decoded(), "{length} words");
        }
        let mut huge = Snapshot::parse("ffffffffffffffff 1").unwrap();
        huge.start_decoding();
        let mut list = Vec::new();
        huge.list(&mut list, || 0, Snapshot::u64);
        assert!(!huge.fully_decoded() && list.is_empty());
        assert_eq!(Snapshot::parse("no words"), None);
    }
}
