//! On a real node: real TorchServe pods with the sidecar as a native sidecar container, the aggregator as a
//! Deployment with its least-privilege account, everything applied with kubectl.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod aggregator_restart;
mod load_step;
mod not_reporting;
mod scale_down;

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pushscale_testkit::local_torchserve::LocalTorchServe;
use pushscale_tests::fleet;
use pushscale_tests::test_cluster::{Shape, TestCluster};

/// The node, TorchServe, and the right to use them.
struct Ground {
    cluster: &'static TestCluster,
    torchserve: &'static LocalTorchServe,
    _turn: Turn,
}

/// Two cores carry one fleet under load, or several that nobody asks anything.
#[expect(dead_code, reason = "held, never looked at")]
enum Turn {
    Alone(RwLockWriteGuard<'static, ()>),
    Together(RwLockReadGuard<'static, ()>),
}

static TURNS: RwLock<()> = RwLock::new(());

/// For a fleet under load.
fn ground() -> Option<Ground> {
    ground_for(Turn::Alone(
        TURNS.write().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// For a fleet that stays idle.
fn shared_ground() -> Option<Ground> {
    ground_for(Turn::Together(
        TURNS.read().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// `None` where there is no root, no namespaces, no Java; loudly, and never under CI.
fn ground_for(turn: Turn) -> Option<Ground> {
    static GROUND: OnceLock<Option<(TestCluster, LocalTorchServe)>> = OnceLock::new();
    let (cluster, torchserve) = GROUND
        .get_or_init(|| {
            if !Shape::Node.available() {
                return None;
            }
            let torchserve = fleet::local_torchserve()?;
            let cluster = TestCluster::start(Shape::Node).unwrap();
            fleet::install(&cluster);
            Some((cluster, torchserve))
        })
        .as_ref()?;
    Some(Ground {
        cluster,
        torchserve,
        _turn: turn,
    })
}
