//! Reads the files that a user names; `-` is the standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use crate::CommandError;

/// Opens a file.
pub(crate) fn open(file: &Path) -> Result<Box<dyn BufRead>, CommandError> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let open = File::open(file).map_err(CommandError::read(file))?;
    Ok(Box::new(BufReader::new(open)))
}

/// Returns the text of a file.
pub(crate) fn read(file: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = open(file)?.read_to_string(&mut text);
    read.map_err(CommandError::read(file))?;
    Ok(text)
}
