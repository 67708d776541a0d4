//! Changes of a text, by place.

use std::cmp::Reverse;

/// At this byte so many are taken out, and these put in.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) at: usize,
    pub(super) taken: usize,
    pub(super) put: String,
    /// Of what comes to one place, the innermost goes first: a list's last item before the entry behind the list.
    pub(super) depth: usize,
}

impl Edit {
    pub(super) fn put(at: usize, text: impl Into<String>) -> Self {
        Self {
            at,
            taken: 0,
            put: text.into(),
            depth: 0,
        }
    }

    pub(super) fn replace(from: usize, to: usize, text: impl Into<String>) -> Self {
        Self {
            at: from,
            taken: to.saturating_sub(from),
            put: text.into(),
            depth: 0,
        }
    }

    pub(super) fn at_depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }
}

/// The text with all changes.
pub(super) fn edited(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.at, Reverse(edit.depth)));
    let mut out =
        String::with_capacity(text.len() + edits.iter().map(|edit| edit.put.len()).sum::<usize>());
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.at).unwrap_or_default());
        out.push_str(&edit.put);
        at = at.max(edit.at + edit.taken);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The beginning of the line.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1)
}

/// The beginning of the next line. What ends with its line, as a text block does, is there already.
pub(super) fn next_line(text: &str, at: usize) -> usize {
    if at > 0 && text.as_bytes().get(at - 1) == Some(&b'\n') {
        return at;
    }
    text.get(at..)
        .and_then(|after| after.find('\n'))
        .map_or(text.len(), |newline| at + newline + 1)
}

/// Whole lines, put in where a line begins.
pub(super) fn lines(text: &str, at: usize, lines: &str) -> Edit {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut put = lines.replace('\n', newline);
    let last_line_is_open = at == text.len() && !text.is_empty() && !text.ends_with('\n');
    if last_line_is_open {
        put.truncate(put.len() - newline.len());
        put.insert_str(0, newline);
    }
    Edit::put(at, put)
}

/// Makes one of those that take out what stands side by side, and takes the end of the line before, too, where the
/// last line has none: it was put in with that of the one before.
pub(super) fn side_by_side(text: &str, mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| edit.at);
    let mut merged: Vec<Edit> = Vec::new();
    for edit in edits {
        match merged.last_mut() {
            Some(last)
                if edit.put.is_empty()
                    && last.put.is_empty()
                    && last.at + last.taken == edit.at =>
            {
                last.taken += edit.taken;
            }
            _ => merged.push(edit),
        }
    }
    if let Some(last) = merged.last_mut()
        && last.put.is_empty()
        && last.at + last.taken == text.len()
        && !text.ends_with('\n')
    {
        for mark in ["\n", "\r"] {
            if text
                .get(..last.at)
                .is_some_and(|before| before.ends_with(mark))
            {
                last.at -= 1;
                last.taken += 1;
            }
        }
    }
    merged
}
