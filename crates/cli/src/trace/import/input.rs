//! Reads files in which lines have a bounded length, and describes what is wrong in them.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use pushscale_simulator::InputError;

/// Maximum bytes of a line of a log, and of a record of a CSV file.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Maximum characters of an input that an error message quotes.
const MAX_QUOTED: usize = 60;

/// Describes what is wrong in a line of a file, counted from 1.
pub(super) fn wrong_line(name: &str, line: u64, problem: impl Into<String>) -> InputError {
    InputError {
        location: format!("{name}:{line}"),
        problem: problem.into(),
    }
}

/// Describes what is wrong with a file.
pub(super) fn wrong_file(name: &str, problem: impl Into<String>) -> InputError {
    InputError {
        location: name.to_owned(),
        problem: problem.into(),
    }
}

/// Quotes and shortens a part of the input, so that an error message is one line.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_QUOTED).collect();
    format!("{start:?}…")
}

/// Calls `each` with every line that is not blank, and its number.
pub(super) fn for_each_line(
    name: &str,
    mut text: impl BufRead,
    mut each: impl FnMut(u64, &str) -> Result<(), InputError>,
) -> Result<(), InputError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = text.by_ref().take(MAX_LINE as u64 + 1);
        let read = bounded.read_until(b'\n', &mut line);
        if read.map_err(|error| wrong_file(name, error.to_string()))? == 0 {
            break;
        }
        if line.len() > MAX_LINE {
            return Err(wrong_line(name, number, too_long("the line")));
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if !line.is_empty() {
            each(number, line)?;
        }
    }
    Ok(())
}

fn too_long(what: &str) -> String {
    format!(
        "{what} has more than {MAX_LINE} bytes: check that the file is text, and its format (--format)"
    )
}

/// A reader that fails once a record is too long.
pub(super) struct BoundedRecords<R> {
    inner: R,
    budget: RecordBudget,
}

/// The bytes that may still be read before the end of the record. Clones share them.
#[derive(Clone)]
pub(super) struct RecordBudget(Rc<Cell<usize>>);

impl RecordBudget {
    /// Starts the next record.
    pub(super) fn reset(&self) {
        self.0.set(MAX_LINE);
    }
}

impl<R: Read> BoundedRecords<R> {
    /// Returns the reader, and the budget, which must be reset after each record.
    pub(super) fn new(inner: R) -> (Self, RecordBudget) {
        let budget = RecordBudget(Rc::new(Cell::new(MAX_LINE)));
        let reader = Self {
            inner,
            budget: budget.clone(),
        };
        (reader, budget)
    }
}

impl<R: Read> Read for BoundedRecords<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.0.get();
        if left == 0 {
            let problem = too_long("the record");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let allowed = left.min(buffer.len());
        let read = self.inner.read(&mut buffer[..allowed])?;
        self.budget.0.set(left - read);
        Ok(read)
    }
}
