//! On a real node: real TorchServe pods with native sidecar containers, and the aggregator as a Deployment with its
//! least-privilege account, all applied with kubectl.

#![cfg(test)]

mod alone;
mod chart_node;
mod charts;
mod command_line;
mod deletion_order;
mod doctor;
mod install;
mod keda;
mod killed_aggregator;
mod kserve;
mod not_reporting;
mod published_hpa;
mod slow_pod;

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use pushscale_testkit::local_torchserve::LocalTorchServe;
use pushscale_tests::fleet;
use pushscale_tests::test_cluster::{Shape, TestCluster};

/// The node, TorchServe, and the lock for using them.
struct Node {
    cluster: &'static TestCluster,
    torchserve: &'static LocalTorchServe,
    _guard: Guard,
}

/// Most tests wait most of the time, and run next to each other. A fleet whose size must not change, or whose load
/// follows from a measurement, needs the machine for itself.
#[expect(dead_code, reason = "held for its lifetime")]
enum Guard {
    Exclusive(RwLockWriteGuard<'static, ()>),
    Shared(SharedGuard),
}

type SharedGuard = RwLockReadGuard<'static, ()>;

static LOCK: RwLock<()> = RwLock::new(());

/// Returns the node for a test that runs alone.
fn node() -> Option<Node> {
    node_with(Guard::Exclusive(
        LOCK.write().unwrap_or_else(PoisonError::into_inner),
    ))
}

/// Returns the node for a test that runs next to others.
fn shared_node() -> Option<Node> {
    node_with(Guard::Shared(shared()))
}

/// A node of one test, which stops the aggregator or lets no pod start, and runs next to others.
struct OwnNode {
    cluster: TestCluster,
    torchserve: LocalTorchServe,
    _guard: SharedGuard,
}

/// Starts a node for one test. Returns `None` like [`start_node`].
fn own_node() -> Option<OwnNode> {
    let guard = shared();
    let (cluster, torchserve) = start_node()?;
    Some(OwnNode {
        cluster,
        torchserve,
        _guard: guard,
    })
}

/// Waits until no test runs that must run alone.
fn shared() -> SharedGuard {
    LOCK.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns `None` like [`start_node`].
fn node_with(guard: Guard) -> Option<Node> {
    static NODE: OnceLock<Option<(TestCluster, LocalTorchServe)>> = OnceLock::new();
    let (cluster, torchserve) = NODE.get_or_init(start_node).as_ref()?;
    Some(Node {
        cluster,
        torchserve,
        _guard: guard,
    })
}

/// Starts a node with Pushscale. Returns `None`, with a message, without root, namespaces or Java, except under
/// `CI=true`.
fn start_node() -> Option<(TestCluster, LocalTorchServe)> {
    if !Shape::Node.available() {
        return None;
    }
    let torchserve = fleet::local_torchserve()?;
    let cluster = TestCluster::start(Shape::Node).unwrap();
    fleet::install(&cluster);
    Some((cluster, torchserve))
}
