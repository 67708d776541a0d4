//! Tests against a real API server, etcd and controller manager. Pods exist but do not run: their status is set by
//! hand, and their readings are pushed by hand.

#![cfg(test)]

mod adopt;
mod alerts;
mod api_server_outage;
mod certificates;
mod chaos;
mod checkpoint;
mod command_line;
mod conflicts;
mod deletion_order;
mod external_metrics;
mod injection;
mod keda;
mod kserve;
mod leader_election;
mod manifests;
mod modes;
mod monitoring;
mod mutations;
mod on_delete;
mod permissions;
mod reporting_fleet;
mod rollouts;
mod scaling;
mod targets;
mod tokens;

use std::sync::OnceLock;

use pushscale_tests::namespace::{install, permit_token_reviews};
use pushscale_tests::test_cluster::{Shape, TestCluster};

/// For tests in which a queue latency alone decides, at once.
const RATIO: &str = "  algorithm: Ratio\n";

/// The control plane of all tests of this program. Each test has its own namespace.
fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
        install(&cluster);
        permit_token_reviews(&cluster);
        cluster
    })
}
