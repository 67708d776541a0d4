//! What a scaler remembers, written down and read back: a decision made on a cluster can be made again on a laptop.
//!
//! Each part of the memory has one function that visits its numbers in a fixed order. A tape that records takes them,
//! one that plays gives them back, so that writing and reading cannot disagree.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;

/// No list of a memory is longer; a longer one is a torn tape.
const LONGEST: usize = 1 << 20;

/// A memory as 64-bit words. `Display` and [`parse`](Tape::parse) are its text: hexadecimal words with spaces.
///
/// It belongs to the release that wrote it: another may remember otherwise, and then refuses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape {
    words: Vec<u64>,
    read: usize,
    plays: bool,
    torn: bool,
}

impl Tape {
    /// Reads a tape's text; `None` if it is none.
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

    /// From now on it plays, from the beginning.
    pub(crate) fn play(&mut self) {
        (self.read, self.plays, self.torn) = (0, true, false);
    }

    /// It was played to its very end, and nothing was missing.
    pub(crate) fn ended_well(&self) -> bool {
        !self.torn && self.read == self.words.len()
    }

    pub(crate) fn word(&mut self, value: &mut u64) {
        if !self.plays {
            self.words.push(*value);
            return;
        }
        match self.words.get(self.read) {
            Some(word) => {
                *value = *word;
                self.read += 1;
            }
            None => self.torn = true,
        }
    }

    pub(crate) fn float(&mut self, value: &mut f64) {
        let mut bits = value.to_bits();
        self.word(&mut bits);
        *value = f64::from_bits(bits);
    }

    pub(crate) fn single(&mut self, value: &mut f32) {
        let mut bits = u64::from(value.to_bits());
        self.word(&mut bits);
        *value = f32::from_bits(self.narrow(bits));
    }

    pub(crate) fn number(&mut self, value: &mut u32) {
        let mut wide = u64::from(*value);
        self.word(&mut wide);
        *value = self.narrow(wide);
    }

    pub(crate) fn count(&mut self, value: &mut usize) {
        let mut wide = *value as u64;
        self.word(&mut wide);
        *value = usize::try_from(wide).unwrap_or_else(|_| {
            self.torn = true;
            0
        });
    }

    pub(crate) fn flag(&mut self, value: &mut bool) {
        let mut word = u64::from(*value);
        self.word(&mut word);
        *value = word != 0;
    }

    pub(crate) fn span(&mut self, value: &mut Duration) {
        let (mut seconds, mut nanos) = (value.as_secs(), value.subsec_nanos());
        self.word(&mut seconds);
        self.number(&mut nanos);
        *value = Duration::new(seconds, nanos.min(999_999_999));
    }

    pub(crate) fn moment(&mut self, value: &mut Moment) {
        let mut since = value.since_origin();
        self.span(&mut since);
        *value = Moment::at(since);
    }

    pub(crate) fn text(&mut self, value: &mut String) {
        let mut length = value.len();
        self.count(&mut length);
        let mut bytes = std::mem::take(value).into_bytes();
        bytes.resize(self.length(length), 0);
        for chunk in bytes.chunks_mut(8) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            let mut word = u64::from_le_bytes(eight);
            self.word(&mut word);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        *value = String::from_utf8(bytes).unwrap_or_else(|_| {
            self.torn = true;
            String::new()
        });
    }

    /// Something that may be absent; `blank` is what it is before it has been read.
    pub(crate) fn option<T>(
        &mut self,
        value: &mut Option<T>,
        blank: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut there = value.is_some();
        self.flag(&mut there);
        if there {
            visit(self, value.get_or_insert_with(blank));
        } else {
            *value = None;
        }
    }

    /// A list of any length.
    pub(crate) fn list<T>(
        &mut self,
        list: &mut Vec<T>,
        mut blank: impl FnMut() -> T,
        mut visit: impl FnMut(&mut Self, &mut T),
    ) {
        let mut length = list.len();
        self.count(&mut length);
        let length = self.length(length);
        if self.plays {
            list.clear();
            // A torn tape must not make a list of a million blanks: it ends where the words end.
            while list.len() < length && !self.torn {
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

    fn length(&mut self, length: usize) -> usize {
        if length > LONGEST || (self.plays && length > 8 * self.words.len()) {
            self.torn = true;
            return 0;
        }
        length
    }

    fn narrow(&mut self, wide: u64) -> u32 {
        u32::try_from(wide).unwrap_or_else(|_| {
            self.torn = true;
            0
        })
    }
}

impl fmt::Display for Tape {
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

    fn visit(tape: &mut Tape, text: &mut String, spans: &mut Vec<Option<Duration>>) {
        tape.text(text);
        tape.list(
            spans,
            || None,
            |tape, span| tape.option(span, Duration::default, Tape::span),
        );
    }

    #[test]
    fn what_was_recorded_is_played_back_by_way_of_text() {
        let mut text = "torchserve-ß-7".to_owned();
        let mut spans = vec![Some(Duration::new(7, 13)), None, Some(Duration::MAX)];
        let mut tape = Tape::default();
        visit(&mut tape, &mut text, &mut spans);
        let mut again = Tape::parse(&tape.to_string()).unwrap();
        again.play();
        let (mut text_again, mut spans_again) = (String::new(), Vec::new());
        visit(&mut again, &mut text_again, &mut spans_again);
        assert!(again.ended_well());
        assert_eq!((text_again, spans_again), (text, spans));
    }

    #[test]
    fn a_torn_tape_is_noticed_and_does_no_harm() {
        let mut tape = Tape::default();
        let mut list = vec![1_u64; 100];
        tape.list(&mut list, || 0, Tape::word);
        for length in 0..tape.words.len() {
            let mut torn = tape.clone();
            torn.words.truncate(length);
            torn.play();
            let mut list = Vec::new();
            torn.list(&mut list, || 0, Tape::word);
            assert!(!torn.ended_well(), "{length} words");
        }
        let mut huge = Tape::parse("ffffffffffffffff 1").unwrap();
        huge.play();
        let mut list = Vec::new();
        huge.list(&mut list, || 0, Tape::word);
        assert!(!huge.ended_well() && list.is_empty());
        assert_eq!(Tape::parse("no words"), None);
    }
}
