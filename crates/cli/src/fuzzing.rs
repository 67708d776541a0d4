//! Entry points for the fuzz targets in `tests/fuzz`. Not part of the API.

use serde_json::Value;

use crate::yaml::{Problem, read, value};

/// Returns the values of a file's documents, as kubectl reads them.
///
/// # Errors
/// As for `pushscale inject` on this file.
pub fn values(yaml: &str) -> Result<Vec<Value>, Problem> {
    read(yaml)?.iter().map(value).collect()
}
