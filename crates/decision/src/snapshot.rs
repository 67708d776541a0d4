//! Snapshots of a scaler's state, so that a recorded decision can be replayed elsewhere.
//!
//! Each type has one function, [`Visit::visit`], that passes its fields to a [`Snapshot`] in a fixed order. While
//! encoding, the snapshot appends each value; while decoding, it overwrites each value. One function for both
//! directions cannot disagree with itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
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

    /// One of `all`, stored as its index.
    pub(crate) fn choice<T: Copy + PartialEq>(&mut self, value: &mut T, all: &[T]) {
        let mut index = all.iter().position(|one| one == value).unwrap_or(0);
        index.visit(self);
        match all.get(index) {
            Some(found) => *value = *found,
            None => self.corrupt = true,
        }
    }

    /// A list of any length; `blank` creates an element to decode into.
    pub(crate) fn list<T: Visit>(&mut self, list: &mut Vec<T>, mut blank: impl FnMut() -> T) {
        let mut length = list.len();
        length.visit(self);
        let length = self.checked_length(length);
        if !self.decoding {
            return list.as_mut_slice().visit(self);
        }
        list.clear();
        // A corrupt length must not create a million blank elements: the list ends with the words.
        while list.len() < length && !self.corrupt {
            let mut item = blank();
            item.visit(self);
            list.push(item);
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

/// A value that a snapshot contains.
pub(crate) trait Visit {
    /// Encodes the value, or overwrites it with the decoded one.
    fn visit(&mut self, snapshot: &mut Snapshot);
}

/// Implements [`Visit`] for a struct whose fields are visited in this order. `; ..` after the fields leaves others out.
macro_rules! visit {
    ($type:ty: $($field:ident),+ $(; $rest:tt)?) => {
        impl $crate::snapshot::Visit for $type {
            fn visit(&mut self, snapshot: &mut $crate::snapshot::Snapshot) {
                let Self { $($field),+ $(, $rest)? } = self;
                $($crate::snapshot::Visit::visit($field, snapshot);)+
            }
        }
    };
}
pub(crate) use visit;

impl Visit for u64 {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        if !snapshot.decoding {
            snapshot.words.push(*self);
            return;
        }
        match snapshot.words.get(snapshot.position) {
            Some(word) => {
                *self = *word;
                snapshot.position += 1;
            }
            None => snapshot.corrupt = true,
        }
    }
}

/// Implements [`Visit`] for types that are converted to another one and back.
macro_rules! visit_converted {
    ($($type:ty: $to:expr, $from:expr;)+) => {$(
        impl Visit for $type {
            fn visit(&mut self, snapshot: &mut Snapshot) {
                let mut converted = $to(self.clone());
                converted.visit(snapshot);
                *self = $from(converted);
            }
        }
    )+};
}

visit_converted! {
    f64: f64::to_bits, f64::from_bits;
    f32: f32::to_bits, f32::from_bits;
    bool: u64::from, |word: u64| word != 0;
    Moment: Moment::since_origin, Moment::at;
    Arc<str>: |text: Arc<str>| text.to_string(), Arc::from;
}

/// Implements [`Visit`] for integers that a word may exceed.
macro_rules! visit_checked {
    ($($type:ty)+) => {$(
        impl Visit for $type {
            fn visit(&mut self, snapshot: &mut Snapshot) {
                let mut wide = *self as u64;
                wide.visit(snapshot);
                *self = wide.try_into().unwrap_or_else(|_| {
                    snapshot.corrupt = true;
                    0
                });
            }
        }
    )+};
}

visit_checked!(u32 usize);

impl Visit for Duration {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let (mut seconds, mut nanos) = (self.as_secs(), self.subsec_nanos());
        seconds.visit(snapshot);
        nanos.visit(snapshot);
        *self = Duration::new(seconds, nanos.min(999_999_999));
    }
}

impl Visit for String {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut length = self.len();
        length.visit(snapshot);
        let mut bytes = std::mem::take(self).into_bytes();
        bytes.resize(snapshot.checked_length(length), 0);
        for chunk in bytes.chunks_mut(8) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            let mut word = u64::from_le_bytes(eight);
            word.visit(snapshot);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        *self = String::from_utf8(bytes).unwrap_or_else(|_| {
            snapshot.corrupt = true;
            String::new()
        });
    }
}

impl<A: Visit, B: Visit> Visit for (A, B) {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.0.visit(snapshot);
        self.1.visit(snapshot);
    }
}

impl<T: Visit + Default> Visit for Option<T> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut present = self.is_some();
        present.visit(snapshot);
        if present {
            self.get_or_insert_default().visit(snapshot);
        } else {
            *self = None;
        }
    }
}

impl<T: Visit + Default> Visit for Vec<T> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.list(self, T::default);
    }
}

impl<T: Visit + Default> Visit for VecDeque<T> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut list: Vec<T> = std::mem::take(self).into();
        list.visit(snapshot);
        *self = list.into();
    }
}

impl<T: Visit> Visit for Box<T> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        (**self).visit(snapshot);
    }
}

impl<T: Visit> Visit for Box<[T]> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.as_mut().visit(snapshot);
    }
}

/// The elements of a slice, whose length is fixed.
impl<T: Visit> Visit for [T] {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        for item in self {
            item.visit(snapshot);
        }
    }
}

impl<const N: usize, T: Visit> Visit for [T; N] {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.as_mut_slice().visit(snapshot);
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
        text.visit(snapshot);
        spans.visit(snapshot);
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
        list.visit(&mut snapshot);
        for length in 0..snapshot.words.len() {
            let mut truncated = snapshot.clone();
            truncated.words.truncate(length);
            truncated.start_decoding();
            let mut list = Vec::<u64>::new();
            list.visit(&mut truncated);
            assert!(!truncated.fully_decoded(), "{length} words");
        }
        let mut huge = Snapshot::parse("ffffffffffffffff 1").unwrap();
        huge.start_decoding();
        let mut list = Vec::<u64>::new();
        list.visit(&mut huge);
        assert!(!huge.fully_decoded() && list.is_empty());
        assert_eq!(Snapshot::parse("no words"), None);
    }
}
