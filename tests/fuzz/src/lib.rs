//! Common parts of the fuzz targets.

mod json;
mod json_equality;
mod pod_fields;

use std::error::Error;

pub use json::mutate;
pub use json_equality::is_close;
pub use pod_fields::keeps;

/// Runs a function and asserts that it never holds more than `per_byte` bytes of memory per byte of `input`, and 8 kB.
///
/// # Panics
/// If it holds more.
pub fn within_memory<R>(input: &[u8], per_byte: u64, run: impl FnOnce() -> R) -> R {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(run()));
    let allowed = 8192 + per_byte * input.len() as u64;
    assert!(
        used.bytes_max <= allowed,
        "{} bytes of memory for {} bytes of input, {allowed} are allowed",
        used.bytes_max,
        input.len(),
    );
    result.expect("measure runs the function")
}

/// Asserts that an error has a message that fits into a log line.
///
/// # Panics
/// If it has none, or a longer one.
pub fn is_readable(error: &dyn Error) {
    let mut length = 0;
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        assert!(!message.is_empty(), "the error has no message");
        length += message.len();
        next = error.source();
    }
    assert!(
        length < 4096,
        "the messages of the error have {length} bytes"
    );
}
