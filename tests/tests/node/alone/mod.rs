//! Tests that must run alone. Tests start in the order of their names, so these run first, one after the other, and the
//! others next to each other after them.

mod load_step;
mod lossless_scale_down;
