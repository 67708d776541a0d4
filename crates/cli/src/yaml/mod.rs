//! Reads a YAML text as a tree whose nodes know their positions, and as the values that kubectl reads: YAML 1.1 as
//! JSON.
//!
//! Stricter than kubectl in one point: a duplicate key is an error. kubectl silently uses the last one.

mod problem;
mod scalar;
mod tree;
mod values;

pub use problem::Problem;
pub(crate) use tree::{Kind, Node, read};
pub(crate) use values::value;
