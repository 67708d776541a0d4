//! On a real node: real TorchServe pods with the sidecar as a native sidecar container, the aggregator as a
//! Deployment with its least-privilege account, everything applied with kubectl.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod aggregator_away;
mod silence;
mod step;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pushscale_simulator::kit::Kit;
use pushscale_tests::fleet;
use pushscale_tests::rig::{Rig, Shape};

/// The node, TorchServe, and the right to use them: two cores carry one fleet at a time.
struct Ground {
    rig: &'static Rig,
    kit: &'static Kit,
    _alone: MutexGuard<'static, ()>,
}

/// `None` where there is no root, no namespaces, no Java; loudly, and never under CI.
fn ground() -> Option<Ground> {
    static ALONE: Mutex<()> = Mutex::new(());
    static GROUND: OnceLock<Option<(Rig, Kit)>> = OnceLock::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (rig, kit) = GROUND
        .get_or_init(|| {
            if !Shape::Node.available() {
                return None;
            }
            let kit = fleet::kit()?;
            let rig = Rig::start(Shape::Node).unwrap();
            fleet::install(&rig);
            Some((rig, kit))
        })
        .as_ref()?;
    Some(Ground {
        rig,
        kit,
        _alone: alone,
    })
}
