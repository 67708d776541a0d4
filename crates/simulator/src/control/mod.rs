//! The controllers of a simulated cluster: Pushscale itself, and the autoscalers that it is compared with.

mod baseline;
mod fixed;
pub mod formulas;
mod hpa;
mod kpa;
mod oracle;
mod pushscaler;
mod sidecar;

pub use baseline::{BASELINES, Baseline, BaselineError, Utilisation};
pub use fixed::Fixed;
pub use hpa::{Hpa, HpaMetric, HpaOptions};
pub use kpa::Kpa;
pub use oracle::Oracle;
pub use pushscaler::{PushScalerError, PushScaling};

use crate::cluster::{PodView, View};

/// Controls the replica count of a simulated cluster.
pub trait Controller {
    /// Returns the desired replicas; `None` keeps the current ones. Called once per simulated second.
    fn decide(&mut self, view: &View<'_>) -> Option<u32>;

    /// Returns the pod's deletion cost: of the ready pods, those with the lowest are deleted first, and of equal ones
    /// the youngest.
    fn deletion_cost(&self, _pod: &PodView) -> u32 {
        0
    }

    /// Explains the last decision, if the controller can.
    fn explain(&self) -> String {
        String::new()
    }
}
