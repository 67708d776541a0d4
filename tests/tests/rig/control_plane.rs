//! The control-plane shape.

use pushscale_tests::rig::{Rig, RigError, Shape};

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
    let rig = Rig::start(Shape::ControlPlane).unwrap();
    rig.apply(DEPLOYMENT).unwrap();
    eventually(30, "one ReplicaSet and two Pods", || {
        count(&rig, "replicasets") == 1 && count(&rig, "pods") == 2
    });
    let version = rig.kubectl(&["version"]).unwrap();
    assert!(version.contains("Server Version: v1.37.2"), "{version}");
}

#[test]
fn two_side_by_side_do_not_meet() {
    let one = Rig::start(Shape::ControlPlane).unwrap();
    let other = Rig::start(Shape::ControlPlane).unwrap();
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
    let rig = Rig::start(Shape::ControlPlane).unwrap();
    let answers = || {
        rig.kubectl(&["get", "--raw=/readyz", "--request-timeout=2s"])
            .is_ok()
    };

    rig.pause("kube-apiserver").unwrap();
    assert!(!answers());
    rig.resume("kube-apiserver").unwrap();
    eventually(30, "an answer after the pause", answers);
    rig.restart("kube-apiserver").unwrap();
    eventually(60, "an answer after the restart", answers);

    let error = rig.pause("kubelet").unwrap_err().to_string();
    assert!(error.contains("no component kubelet is running"), "{error}");
}

#[test]
fn a_rig_without_an_owner_lives_until_down() {
    let name = format!("up{}", std::process::id());
    assert!(matches!(
        Rig::attach(&name),
        Err(RigError::NotRunning { .. })
    ));
    drop(Rig::up(&name, Shape::ControlPlane).unwrap());

    let rig = Rig::attach(&name).unwrap();
    rig.kubectl(&["get", "namespaces"]).unwrap();
    assert!(matches!(
        Rig::up(&name, Shape::ControlPlane),
        Err(RigError::NameTaken { .. })
    ));
    let rigs = Rig::list().unwrap();
    assert!(rigs.iter().any(|rig| rig.name() == name));

    let traces = Traces::of(&rig);
    Rig::down(&name).unwrap();
    traces.assert_gone();
}

#[test]
fn a_bad_name_is_refused() {
    for name in ["", "Upper", "a/b", "-x", "a-name-that-is-too-long"] {
        let error = Rig::up(name, Shape::ControlPlane).unwrap_err();
        assert!(matches!(error, RigError::BadName { .. }), "{name}: {error}");
    }
}

fn count(rig: &Rig, kind: &str) -> usize {
    let names = rig.kubectl(&["get", kind, "--output=name"]).unwrap();
    names.lines().count()
}
