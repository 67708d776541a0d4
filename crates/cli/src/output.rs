//! Writes to the terminal: tables, ages, colours.

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Timestamp;

use crate::CommandError;

/// How urgent a word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Urgency {
    #[default]
    None,
    Good,
    Notice,
    Wrong,
}

/// Whether words get colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colors(pub(crate) bool);

impl Colors {
    /// Colours only on a terminal, and not with `NO_COLOR` (https://no-color.org) or a dumb terminal.
    pub(crate) fn detect() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Self(is_terminal() && !is_set("NO_COLOR"))
    }

    pub(crate) fn paint(self, urgency: Urgency, text: &str) -> String {
        let code = match urgency {
            Urgency::None => return text.to_owned(),
            Urgency::Good => 32,
            Urgency::Notice => 33,
            Urgency::Wrong => 31,
        };
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether the standard output is a terminal that understands escape sequences.
pub(crate) fn is_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}

/// Writes to the standard output. A reader that has closed the pipe is no error.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Returns a time as an age, like kubectl: `45s`, `3m12s`, `17m`, `5h3m`, `3d`.
pub(crate) fn age(now: Timestamp, time: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |first: i64, unit: char, second: i64, sub: char| match second {
        0 => format!("{first}{unit}"),
        _ => format!("{first}{unit}{second}{sub}"),
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) urgency: Urgency,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            urgency: Urgency::None,
        }
    }
}

/// Renders rows below a header, with three spaces between the columns.
pub(crate) fn table(header: &[&str], rows: &[Vec<Cell>], colors: Colors) -> String {
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut text = String::new();
    let header: Vec<Cell> = header.iter().map(|name| Cell::new(*name)).collect();
    for row in std::iter::once(&header).chain(rows) {
        let last = row.len().saturating_sub(1);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text.push_str(&colors.paint(cell.urgency, &cell.text));
            if column < last {
                let padding = width - cell.text.chars().count() + 3;
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        let start = Timestamp::UNIX_EPOCH;
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (192, "3m12s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_980, "3h3m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            let now = Timestamp::from_second(seconds).unwrap();
            assert_eq!(age(now, start), expected);
        }
        let earlier = Timestamp::from_second(-5).unwrap();
        assert_eq!(age(earlier, start), "0s", "a clock that runs ahead");
    }

    #[test]
    fn colours_do_not_change_the_columns() {
        let rows = vec![vec![
            Cell {
                text: "é".to_owned(),
                urgency: Urgency::Wrong,
            },
            Cell::new("x"),
        ]];
        assert_eq!(
            table(&["NAME", "B"], &rows, Colors(false)),
            "NAME   B\né      x\n"
        );
        assert_eq!(
            table(&["NAME", "B"], &rows, Colors(true)),
            "NAME   B\n\u{1b}[31mé\u{1b}[0m      x\n"
        );
    }
}
