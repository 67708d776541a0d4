//! A node with Pushscale from its chart, for tests that need more of it than the plain manifests have.

use pushscale_api::Algorithm;
use pushscale_testkit::local_torchserve::LocalTorchServe;
use pushscale_tests::charts::Helm;
use pushscale_tests::document::Reader;
use pushscale_tests::fleet::{self, FleetOptions};
use pushscale_tests::programs;
use pushscale_tests::test_cluster::{Shape, TestCluster};
use serde_json::Value;

use crate::SharedGuard;

/// The lifetime of the sidecars' tokens, longer than a test.
const TOKEN_SECONDS: u32 = 3600;

/// The node, what runs on it, and the lock that tests next to each other share.
pub(crate) struct ChartNode {
    pub(crate) cluster: TestCluster,
    pub(crate) torchserve: LocalTorchServe,
    helm: Helm,
    _guard: SharedGuard,
}

impl ChartNode {
    /// Starts a node and installs the chart with TLS, tokens and these values. Returns `None`, with a message, where no
    /// node or TorchServe can run, except under `CI=true`.
    pub(crate) fn start(values: &Value) -> Option<Self> {
        if !Shape::Node.available() {
            return None;
        }
        let (torchserve, helm) = (fleet::local_torchserve()?, Helm::for_test()?);
        let guard = crate::shared();
        let cluster = TestCluster::start(Shape::Node).unwrap();
        fleet::install_chart(&cluster, &helm, values);
        Some(Self {
            cluster,
            torchserve,
            helm,
            _guard: guard,
        })
    }

    /// Returns the options of a fleet whose sidecars this aggregator accepts.
    pub(crate) fn fleet(algorithm: Algorithm) -> FleetOptions {
        FleetOptions {
            token_seconds: Some(TOKEN_SECONDS),
            ..FleetOptions::by(algorithm)
        }
    }

    /// Returns a reader of the documentation, with a directory of this name.
    pub(crate) fn reader(&self, name: &str) -> Reader {
        let program = programs::command_line();
        let path = [self.helm.directory(), program.parent().unwrap()];
        Reader::new(&self.cluster, name, &path)
    }
}
