//! A fresh node with our images, a reader with values of his own, and a load.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pushscale_tests::charts::Helm;
use pushscale_tests::document::Reader;
use pushscale_tests::fleet::{self, HANG, until};
use pushscale_tests::load::LoadGenerator;
use pushscale_tests::programs;
use pushscale_tests::test_cluster::{Image, Shape, TestCluster};
use pushscale_tests::torchserve_values::torchserve_values;
use serde_json::Value;

const TAG: &str = env!("CARGO_PKG_VERSION");

/// Each has a load, and two cores carry one.
static TURN: Mutex<()> = Mutex::new(());

/// A fresh node and somebody who follows a page on it.
pub(crate) struct Stage {
    pub(crate) cluster: TestCluster,
    pub(crate) reader: Reader,
    pub(crate) turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// `None` where no node runs, loudly, and never under CI.
    pub(crate) fn set(name: &str) -> Option<Self> {
        if !Shape::Node.available() {
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let torchserve = fleet::local_torchserve()?;
        let helm = Helm::for_test()?;
        let cluster = TestCluster::start(Shape::Node).unwrap();
        for program in ["sidecar", "aggregator", "injector"] {
            let image = format!("pushscale/{program}:{TAG}");
            cluster
                .import_archive(&image, &programs::image(program))
                .unwrap();
        }
        cluster
            .import_image(&Image {
                name: "pushscale.test/scratch:1".to_owned(),
                ..Image::default()
            })
            .unwrap();
        let path = [helm.folder(), programs::command_line().parent().unwrap()].map(PathBuf::from);
        let shell = cluster.command("sh");
        let folder = cluster.logs_dir().join(name);
        let reader = Reader::new(folder, move || again(&shell, &path));
        let values = torchserve_values(&torchserve);
        reader.has("my-values.yaml", &serde_saphyr::to_string(&values).unwrap());
        Some(Self {
            cluster,
            reader,
            turn,
        })
    }

    /// kubectl in the namespace of the models.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&self.cluster, arguments)
    }
}

/// The same command once more, which finds these programs, too.
fn again(command: &Command, more: &[PathBuf]) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default();
        if name == "PATH" {
            let all = more.iter().cloned().chain(std::env::split_paths(value));
            again.env(name, std::env::join_paths(all).unwrap());
        } else {
            again.env(name, value);
        }
    }
    again
}

pub(crate) fn kubectl(cluster: &TestCluster, arguments: &[&str]) -> String {
    let all = [&["--namespace=models"], arguments].concat();
    cluster.kubectl(&all).unwrap()
}

/// `spec.replicas` of the Deployment.
pub(crate) fn replicas(cluster: &TestCluster) -> u32 {
    let output = "-o=jsonpath={.spec.replicas}";
    kubectl(cluster, &["get", "deployment/torchserve", output])
        .parse()
        .unwrap()
}

/// Every pod that is there has the sidecar.
pub(crate) fn assert_injected(cluster: &TestCluster) {
    let pods = kubectl(cluster, &["get", "pods", "-o=json"]);
    let pods: Value = serde_json::from_str(&pods).unwrap();
    let pods = pods["items"].as_array().unwrap();
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

/// Starts a load through the Service.
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
    until(HANG, what, || condition(replicas(cluster)));
}
