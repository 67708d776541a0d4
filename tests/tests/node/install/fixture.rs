//! A fresh node with the images, a reader with their own chart values, and a load.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pushscale_tests::charts::Helm;
use pushscale_tests::document::Reader;
use pushscale_tests::fleet::{self, TIMEOUT, until};
use pushscale_tests::load::LoadGenerator;
use pushscale_tests::programs;
use pushscale_tests::test_cluster::{Shape, TestCluster};
use pushscale_tests::torchserve_values::torchserve_values;

use crate::SharedGuard;

/// Each of these tests generates load, and two cores can handle one.
static LOAD: Mutex<()> = Mutex::new(());

/// A fresh node, and a reader who follows a page.
pub(crate) struct Fixture {
    pub(crate) cluster: TestCluster,
    pub(crate) reader: Reader,
    pub(crate) guards: (SharedGuard, MutexGuard<'static, ()>),
}

impl Fixture {
    /// Starts the node. Returns `None`, with a message, where no node can run, except under `CI=true`.
    pub(crate) fn start(name: &str) -> Option<Self> {
        if !Shape::Node.available() {
            return None;
        }
        // Never the other way round: a test that waits for its turn must not keep a test that runs alone waiting.
        let load = LOAD.lock().unwrap_or_else(PoisonError::into_inner);
        let guards = (crate::shared(), load);
        let torchserve = fleet::local_torchserve()?;
        let helm = Helm::for_test()?;
        let cluster = TestCluster::start(Shape::Node).unwrap();
        fleet::import_built_images(&cluster);
        fleet::import_scratch(&cluster);
        let program = programs::command_line();
        let path = [helm.directory(), program.parent().unwrap()];
        let reader = Reader::new(&cluster, name, &path);
        let values = torchserve_values(&torchserve);
        reader.write("my-values.yaml", &serde_saphyr::to_string(&values).unwrap());
        Some(Self {
            cluster,
            reader,
            guards,
        })
    }

    /// Runs kubectl in the namespace of the models.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&self.cluster, arguments)
    }
}

pub(crate) fn kubectl(cluster: &TestCluster, arguments: &[&str]) -> String {
    let all = [&["--namespace=models"], arguments].concat();
    cluster.kubectl(&all).unwrap()
}

/// Returns `spec.replicas` of the Deployment.
pub(crate) fn replicas(cluster: &TestCluster) -> u32 {
    let deployment = cluster
        .api()
        .get("models", "deployment", "torchserve")
        .unwrap();
    u32::try_from(deployment["spec"]["replicas"].as_u64().unwrap()).unwrap()
}

/// Asserts that every pod that is not terminating has the sidecar.
pub(crate) fn assert_injected(cluster: &TestCluster) {
    let pods = cluster.api().objects("models", "pod", "").unwrap();
    let alive = pods
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    for pod in alive {
        let sidecars = pod["spec"]["initContainers"].as_array();
        let has =
            sidecars.is_some_and(|all| all.iter().any(|one| one["name"] == "pushscale-sidecar"));
        assert!(has, "{pod:#}");
    }
}

/// Starts a load on the Service.
pub(crate) fn start_load(cluster: &TestCluster, steps: &[&str]) -> LoadGenerator {
    let output = "-o=jsonpath={.spec.clusterIP}:8080";
    let address = kubectl(cluster, &["get", "service/torchserve", output]);
    LoadGenerator::start(cluster, "models", &address, steps)
}

/// Waits until the replicas of the Deployment fulfil the condition.
pub(crate) fn until_replicas(
    cluster: &TestCluster,
    what: &str,
    mut condition: impl FnMut(u32) -> bool,
) {
    until(TIMEOUT, what, || condition(replicas(cluster)));
}
