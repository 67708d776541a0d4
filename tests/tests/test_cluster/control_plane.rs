//! The control-plane shape.

use pushscale_tests::test_cluster::{ClusterError, Shape, TestCluster};

use crate::eventually;
use crate::leftovers::Traces;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: idle }
spec:
  replicas: 2
  selector: { matchLabels: { app: idle } }
  template:
    metadata: { labels: { app: idle } }
    spec:
      containers:
        - name: idle
          image: none.test/none:1
";

#[test]
fn a_deployment_gets_its_pod_objects() {
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    cluster.api().apply(DEPLOYMENT).unwrap();
    eventually("one ReplicaSet and two Pods", || {
        count(&cluster, "replicasets") == 1 && count(&cluster, "pods") == 2
    });
    let version = cluster.kubectl(&["version"]).unwrap();
    assert!(version.contains("Server Version: v1.37.2"), "{version}");
}

#[test]
fn two_clusters_are_isolated_from_each_other() {
    let one = TestCluster::start(Shape::ControlPlane).unwrap();
    let other = TestCluster::start(Shape::ControlPlane).unwrap();
    one.kubectl(&["create", "namespace", "mine"]).unwrap();
    let namespaces = other.kubectl(&["get", "namespaces"]).unwrap();
    assert!(!namespaces.contains("mine"), "{namespaces}");

    let traces = Traces::of(&one);
    drop(one);
    traces.assert_gone();
    other.kubectl(&["get", "namespaces"]).unwrap();
}

#[test]
fn a_component_can_be_paused_resumed_and_restarted() {
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    let answers = || {
        cluster
            .kubectl(&["get", "--raw=/readyz", "--request-timeout=2s"])
            .is_ok()
    };

    cluster.pause("kube-apiserver").unwrap();
    assert!(!answers());
    cluster.resume("kube-apiserver").unwrap();
    eventually("an answer after the pause", answers);
    cluster.restart("kube-apiserver").unwrap();
    eventually("an answer after the restart", answers);

    let error = cluster.pause("kubelet").unwrap_err().to_string();
    assert!(error.contains("no component kubelet is running"), "{error}");
}

#[test]
fn a_cluster_without_an_owner_runs_until_down() {
    let name = format!("up{}", std::process::id());
    assert!(matches!(
        TestCluster::attach(&name),
        Err(ClusterError::NotRunning { .. })
    ));
    drop(TestCluster::up(&name, Shape::ControlPlane).unwrap());

    let cluster = TestCluster::attach(&name).unwrap();
    cluster.kubectl(&["get", "namespaces"]).unwrap();
    assert!(matches!(
        TestCluster::up(&name, Shape::ControlPlane),
        Err(ClusterError::NameTaken { .. })
    ));
    let clusters = TestCluster::list().unwrap();
    assert!(clusters.iter().any(|cluster| cluster.name() == name));

    let traces = Traces::of(&cluster);
    TestCluster::down(&name).unwrap();
    traces.assert_gone();
}

#[test]
fn a_bad_name_is_rejected() {
    for name in ["", "Upper", "a/b", "-x", "a-name-that-is-too-long"] {
        let error = TestCluster::up(name, Shape::ControlPlane).unwrap_err();
        assert!(
            matches!(error, ClusterError::BadName { .. }),
            "{name}: {error}"
        );
    }
}

fn count(cluster: &TestCluster, kind: &str) -> usize {
    let names = cluster.kubectl(&["get", kind, "--output=name"]).unwrap();
    names.lines().count()
}
