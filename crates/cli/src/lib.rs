//! What the `pushscale` command can do and other crates may use.

pub mod inject;
pub mod manifest;
pub mod replay;
mod yaml;
