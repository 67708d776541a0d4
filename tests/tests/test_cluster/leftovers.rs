//! However a cluster stops, nothing of it remains.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pushscale_tests::test_cluster::{ClusterError, Shape, TestCluster};
use rustix::process::{Pid, Signal, kill_process};

use crate::{PROBE, eventually, import_probe};

#[test]
fn two_nodes_are_isolated_and_removed_when_dropped() {
    if !Shape::Node.available() {
        return;
    }
    let one = busy_cluster(Shape::Node);
    let other = busy_cluster(Shape::Node);
    one.kubectl(&["create", "namespace", "mine"]).unwrap();
    let namespaces = other.kubectl(&["get", "namespaces"]).unwrap();
    assert!(!namespaces.contains("mine"), "{namespaces}");

    let traces = Traces::of(&one);
    traces.assert_there();
    drop(one);
    traces.assert_gone();

    let running = ["get", "pod", "idle", "--output=jsonpath={.status.phase}"];
    assert_eq!(other.kubectl(&running).unwrap(), "Running");
    let traces = Traces::of(&other);
    drop(other);
    traces.assert_gone();
}

#[test]
fn the_owner_of_a_control_plane_is_killed() {
    kill_owner(Shape::ControlPlane);
}

#[test]
fn the_owner_of_a_node_is_killed() {
    if Shape::Node.available() {
        kill_owner(Shape::Node);
    }
}

#[test]
fn the_supervisor_of_a_control_plane_is_killed() {
    kill_supervisor(Shape::ControlPlane);
}

#[test]
fn the_supervisor_of_a_node_is_killed() {
    if Shape::Node.available() {
        kill_supervisor(Shape::Node);
    }
}

/// Runs alone in a separate process.
#[test]
#[ignore = "the owner that other tests start and kill"]
fn owner_to_be_killed() {
    let Ok(shape) = std::env::var(SHAPE) else {
        return;
    };
    let shape = <Shape as clap::ValueEnum>::from_str(&shape, false).unwrap();
    let cluster = busy_cluster(shape);
    println!("\n{NAME_LINE}{}", cluster.name());
    loop {
        std::thread::park();
    }
}

const SHAPE: &str = "CLUSTER_TEST_SHAPE";
const NAME_LINE: &str = "name of the cluster: ";

fn kill_owner(shape: Shape) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["leftovers::owner_to_be_killed", "--exact"])
        .args(["--ignored", "--nocapture"])
        .env(SHAPE, shape.as_str())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let name = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix(NAME_LINE).map(str::to_owned))
        .expect("the owner names its cluster");
    let traces = Traces::of(&TestCluster::attach(&name).unwrap());
    traces.assert_there();

    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the end of the cluster", || !traces.state.exists());
    traces.assert_gone();
}

fn kill_supervisor(shape: Shape) {
    let cluster = busy_cluster(shape);
    let traces = Traces::of(&cluster);
    traces.assert_there();
    let supervisor = i32::try_from(cluster.supervisor_id().unwrap()).unwrap();
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();

    // Another test may start a cluster at this moment, which removes this one, too.
    match TestCluster::down(cluster.name()) {
        Ok(()) | Err(ClusterError::NotRunning { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    traces.assert_gone();
}

/// Starts a cluster with something to remove: a running container, if it can have one.
fn busy_cluster(shape: Shape) -> TestCluster {
    let cluster = TestCluster::start(shape).unwrap();
    if shape == Shape::Node {
        import_probe(&cluster);
        cluster
            .api()
            .apply(&format!(
                "
apiVersion: v1
kind: Pod
metadata: {{ name: idle }}
spec:
  containers:
    - {{ name: idle, image: \"{PROBE}\", imagePullPolicy: Never, args: [serve] }}
"
            ))
            .unwrap();
        cluster
            .kubectl(&[
                "wait",
                "--for=condition=Ready",
                "pod/idle",
                "--timeout=300s",
            ])
            .unwrap();
    }
    cluster
}

/// Everything that a cluster leaves on the machine.
pub(crate) struct Traces {
    pub(crate) state: PathBuf,
    /// The prefix of the names of its network namespace and cgroups.
    id: String,
    shape: Shape,
}

impl Traces {
    pub(crate) fn of(cluster: &TestCluster) -> Self {
        Self {
            state: cluster.kubeconfig().parent().unwrap().to_path_buf(),
            id: format!("pushscale-{}-", cluster.name()),
            shape: cluster.shape(),
        }
    }

    /// Checks that [`Traces::assert_gone`] looks in the right places.
    fn assert_there(&self) {
        assert!(self.state.exists());
        assert!(!self.processes().is_empty());
        if self.shape == Shape::Node {
            assert!(!self.mounts().is_empty());
            assert!(!self.cgroups().is_empty());
            assert_eq!(self.network_namespaces().len(), 1);
        }
    }

    pub(crate) fn assert_gone(&self) {
        assert!(!self.state.exists(), "{}", self.state.display());
        // A killed process and its namespaces disappear a moment later.
        eventually("the end of all processes", || self.processes().is_empty());
        assert_eq!(self.mounts(), Vec::<PathBuf>::new());
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        assert_eq!(self.network_namespaces(), Vec::<PathBuf>::new());
    }

    /// Returns the processes that have the cluster's directory in their command line or environment, or that run in its
    /// cgroups.
    fn processes(&self) -> Vec<PathBuf> {
        let state = self.state.display().to_string();
        let concerned = |process: &PathBuf| {
            let mentions =
                |file| String::from_utf8_lossy(&read(&process.join(file))).contains(&state);
            let cgroups = read(&process.join("cgroup"));
            let itself = process.ends_with(std::process::id().to_string());
            let grouped = String::from_utf8_lossy(&cgroups).contains(&self.id);
            !itself && (mentions("cmdline") || mentions("environ") || grouped)
        };
        processes().filter(concerned).collect()
    }

    /// Returns the mount tables of all processes that contain the directory.
    fn mounts(&self) -> Vec<PathBuf> {
        let state = self.state.display().to_string();
        let tables = processes().map(|process| process.join("mountinfo"));
        let concerned = |table: &PathBuf| String::from_utf8_lossy(&read(table)).contains(&state);
        tables.filter(concerned).collect()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies =
            entries(Path::new("/sys/fs/cgroup")).chain([PathBuf::from("/sys/fs/cgroup")]);
        hierarchies
            .flat_map(|hierarchy| entries(&hierarchy))
            .filter(|group| self.is_named(group))
            .collect()
    }

    fn network_namespaces(&self) -> Vec<PathBuf> {
        entries(Path::new("/run/netns"))
            .filter(|namespace| self.is_named(namespace))
            .collect()
    }

    fn is_named(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&self.id)
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    entries(Path::new("/proc")).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.parse::<u32>().is_ok()
    })
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// Reads a file of a process, which may have exited or be unreadable.
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}
