//! Entry points for the fuzz targets in `tests/fuzz`. Not part of the API.

use pushscale_simulator::InputError;
use serde_json::Value;

use crate::trace::{Format, ImportSettings, Importer};
use crate::yaml::{Problem, read, value};

/// Returns the values of a file's documents, as kubectl reads them.
///
/// # Errors
/// As for `pushscale inject` on this file.
pub fn values(yaml: &str) -> Result<Vec<Value>, Problem> {
    read(yaml)?.iter().map(value).collect()
}

/// Imports a load as `pushscale trace import` does.
///
/// # Errors
/// As for the command on this file.
pub fn import(format: &str, text: &[u8], is_counter: bool) -> Result<String, InputError> {
    let format = match format {
        "csv" => Format::Csv,
        "prometheus" => Format::Prometheus,
        _ => Format::AccessLog,
    };
    let options = ImportSettings {
        counter: is_counter,
        ..ImportSettings::default()
    };
    let mut importer = Importer::new(format, options, None);
    importer.read("input", text)?;
    Ok(importer.finish("input")?.trace)
}
