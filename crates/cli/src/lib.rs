//! The commands of `pushscale`, one module each, and what other crates use of them.

pub mod demo;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod inject;
pub mod manifest;
pub mod replay;
pub mod simulate;
mod yaml;

pub use error::CommandError;
