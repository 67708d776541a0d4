//! Who sets the size of a simulated cluster: Pushscale itself, and what it is compared with.

mod fixed;
mod hpa;
mod kpa;
mod oracle;
mod pushscaler;
mod qm2;
mod rival;

pub use fixed::Fixed;
pub use hpa::{Hpa, HpaOptions};
pub use kpa::Kpa;
pub use oracle::Oracle;
pub use pushscaler::{PushScalerError, PushScaling};
pub use qm2::{Qm2, Qm2Options};
pub use rival::{RIVALS, Rival, RivalError};

use crate::cluster::View;

/// Something that sets the size of a cluster.
pub trait Controller {
    /// Sees the cluster once a second, and says how many pods there are to be; `None`: as many as there are.
    fn decide(&mut self, view: &View<'_>) -> Option<u32>;

    /// Why it last said what it said, in its words, if it has any.
    fn explain(&self) -> String {
        String::new()
    }
}
