//! Character classes: blanks and names.

/// Bits of a byte's class: whether it may be part of a name, and start one.
pub(super) const LABEL: u8 = 1;
pub(super) const METRIC: u8 = 2;
const FIRST: u8 = 4;

/// `[a-zA-Z_][a-zA-Z0-9_]*` for labels, with `:` for metrics.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let character = byte as u8;
        if character.is_ascii_alphabetic() || character == b'_' {
            classes[byte] = LABEL | METRIC | FIRST;
        } else if character.is_ascii_digit() {
            classes[byte] = LABEL | METRIC;
        } else if character == b':' {
            classes[byte] = METRIC | FIRST;
        }
        byte += 1;
    }
    classes
};

/// Returns the end of the name at the start of the text; `None` if there is none.
pub(super) fn name_end(text: &str, class: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = CLASSES[usize::from(*bytes.first()?)];
    if first & FIRST == 0 || first & class == 0 {
        return None;
    }
    let other = |byte: &u8| CLASSES[usize::from(*byte)] & class == 0;
    Some(bytes.iter().position(other).unwrap_or(bytes.len()))
}

/// Trims spaces and tabs, the only blanks of the format; a carriage return is an invalid character.
pub(super) fn trim_start(text: &str) -> &str {
    match text.as_bytes().first() {
        Some(b' ' | b'\t') => text.trim_start_matches([' ', '\t']),
        _ => text,
    }
}
