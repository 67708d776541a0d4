//! Random scenarios that only benchmarks run.

mod held_out;
mod random_hostile;

pub use held_out::held_out_scenario;
pub use random_hostile::random_hostile_scenario;
