//! `pushscale adopt --switch` and `--undo` against the API server, interrupted between any two steps.
//!
//! An admission policy that rejects the next step interrupts a run. No operator of KEDA runs here: the test creates and
//! deletes the HorizontalPodAutoscaler of the ScaledObject and sets its status, as KEDA does.

mod user;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use pushscale_tests::programs::{self, repository};
use serde_json::{Value, json};

use crate::cluster;
use user::User;

/// The module with KEDA's CRDs. Its version and its digest are those of the KEDA that the tests build.
const KEDA: &str = "github.com/kedacore/keda/v2";

const OVERLOAD: Load = Load::Rate(25.0);

const HPA: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: torchserve
  namespace: NAMESPACE
  labels: { team: models }
  annotations: { example.com/note: 'kept' }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  maxReplicas: 5
  metrics:
    - type: Pods
      pods: { metric: { name: ts_queue_latency_microseconds }, target: { type: AverageValue, averageValue: 1M } }
  behavior:
    scaleDown: { stabilizationWindowSeconds: 120 }
";

const SCALED_OBJECT: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: models, namespace: NAMESPACE }
spec:
  scaleTargetRef: { name: torchserve }
  maxReplicaCount: 7
  pollingInterval: 15
  cooldownPeriod: 60
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: { scaleDown: { stabilizationWindowSeconds: 120 } }
  triggers:
    - { type: prometheus, metadata: { serverAddress: 'http://prometheus', query: 'up', threshold: '1' } }
";

/// Rejects one step.
struct Policy<'a> {
    namespace: &'a Namespace<'a>,
    name: String,
    /// The arguments of kubectl for a dry run that the policy rejects.
    probe: &'static [&'static str],
}

impl<'a> Policy<'a> {
    /// Rejects requests, once it is in force.
    fn reject(
        namespace: &'a Namespace<'a>,
        (group, version, resource): (&str, &str, &str),
        operation: &str,
        expression: &str,
        probe: &'static [&'static str],
    ) -> Self {
        let name = format!("{}-{resource}-{operation}", namespace.name).to_lowercase();
        namespace.apply(&format!(
            "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{ name: {name} }}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {{ matchLabels: {{ kubernetes.io/metadata.name: NAMESPACE }} }}
    resourceRules:
    - {{ apiGroups: ['{group}'], apiVersions: [{version}], operations: [{operation}], resources: [{resource}] }}
  validations:
  - {{ expression: \"{expression}\", message: 'interrupted' }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{ name: {name} }}
spec:
  policyName: {name}
  validationActions: [Deny]
"
        ));
        let policy = Self {
            namespace,
            name,
            probe,
        };
        policy.until(true);
        policy
    }

    fn remove(self) {
        let binding = format!("validatingadmissionpolicybinding/{}", self.name);
        self.namespace.kubectl(&["delete", &binding]);
        self.until(false);
    }

    /// Waits until the API server applies the policy, or no longer does. It does so a moment after the change.
    fn until(&self, rejects: bool) {
        let start = Instant::now();
        let namespace = format!("--namespace={}", self.namespace.name);
        let probe = [&[namespace.as_str()], self.probe, &["--dry-run=server"]].concat();
        while self.namespace.cluster.kubectl(&probe).is_err() != rejects {
            assert!(
                start.elapsed() < TIMEOUT,
                "{}: rejects is not {rejects}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn adopt(namespace: &Namespace<'_>, arguments: &[&str]) -> Child {
    adopt_with(namespace, namespace.cluster.kubeconfig(), arguments)
}

fn adopt_with(namespace: &Namespace<'_>, kubeconfig: &Path, arguments: &[&str]) -> Child {
    Command::new(programs::command_line())
        .arg("adopt")
        .args(arguments)
        .args(["-n", &namespace.name])
        .env("KUBECONFIG", kubeconfig)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: Output) -> (bool, String) {
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    (output.status.success(), text)
}

/// Returns the output of a command that succeeds.
fn succeeds(namespace: &Namespace<'_>, arguments: &[&str]) -> String {
    let (success, text) = text(adopt(namespace, arguments).wait_with_output().unwrap());
    assert!(success, "{arguments:?}: {text}");
    text
}

/// Returns the output of a command that fails.
fn fails(namespace: &Namespace<'_>, arguments: &[&str]) -> String {
    let (success, text) = text(adopt(namespace, arguments).wait_with_output().unwrap());
    assert!(!success, "{arguments:?}: {text}");
    text
}

/// Runs the command while the pods push: once the readings are fresh, and as long as it runs. Returns whether it
/// succeeds, and its output.
async fn run_while_pushing(
    namespace: &Namespace<'_>,
    (aggregator, pods): (&Aggregator, &mut [FakePod]),
    arguments: &[&str],
) -> (bool, String) {
    let mut pushes = 0;
    aggregator
        .push_until(pods, OVERLOAD, || {
            pushes += 1;
            let is_fresh = pushes > 2 && {
                let scaler = namespace.get("pushscaler", "torchserve");
                // While another autoscaler has the target, nothing is decided.
                let kind = match Namespace::condition(&scaler, "AbleToScale").starts_with("True") {
                    true => "ScalingActive",
                    false => "Fresh",
                };
                Namespace::condition(&scaler, kind).starts_with("True")
            };
            std::future::ready(is_fresh)
        })
        .await;
    let mut child = adopt(namespace, arguments);
    let mut has_exited = || child.try_wait().unwrap().is_some();
    aggregator
        .push_until(pods, OVERLOAD, || std::future::ready(has_exited()))
        .await;
    let mut found = String::new();
    for pipe in [
        child.stdout.take().map(std::io::read_to_string),
        child.stderr.take().map(std::io::read_to_string),
    ] {
        found.push_str(&pipe.unwrap().unwrap());
    }
    (child.wait().unwrap().success(), found)
}

/// Returns whether the HorizontalPodAutoscaler exists, the PushScaler's mode, whether it stores something, and the
/// replicas. Two autoscalers never have the target.
fn state(namespace: &Namespace<'_>, hpa: &str, scaler: &str) -> (bool, String, bool, u64) {
    let hpa = namespace.kubectl(&["get", "hpa", hpa, "--ignore-not-found"]);
    let scaler = namespace.get("pushscaler", scaler);
    let mode = scaler["spec"]["mode"].as_str().unwrap().to_owned();
    assert!(hpa.is_empty() || mode != "Apply", "two autoscalers");
    let stored = &scaler["metadata"]["annotations"]["pushscale.dev/adopted-from"];
    (
        !hpa.is_empty(),
        mode,
        stored.is_string(),
        namespace.replicas(),
    )
}

fn expected(hpa: bool, mode: &str, stored: bool, replicas: u64) -> (bool, String, bool, u64) {
    (hpa, mode.to_owned(), stored, replicas)
}

/// Returns what the user wrote of an object.
fn written(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "spec": object["spec"],
        "labels": metadata["labels"],
        "annotations": metadata["annotations"],
    })
}

#[tokio::test]
async fn a_switch_from_an_hpa_and_its_undo_can_be_interrupted_at_every_step() {
    let namespace = Namespace::create(cluster(), "adopt-hpa");
    namespace.deploy("Deployment", 1).await;
    namespace.apply(HPA);
    let before = written(&namespace.get("hpa", "torchserve"));
    let observed_state = || state(&namespace, "torchserve", "torchserve");
    let switch = ["hpa/torchserve", "--switch"];
    let undo = ["hpa/torchserve", "--undo"];

    assert_eq!(succeeds(&namespace, &undo), "nothing to do\n");
    let found = succeeds(&namespace, &["hpa/torchserve", "--switch", "--dry-run"]);
    assert!(
        found.contains("would create PushScaler torchserve"),
        "{found}"
    );
    let scalers = namespace.kubectl(&["get", "pushscalers", "-o", "name"]);
    assert!(scalers.is_empty(), "a dry run created {scalers}");
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("was created and has no decision yet"),
        "{found}"
    );
    let scaler = namespace.get("pushscaler", "torchserve");
    assert_eq!(scaler["spec"]["maxReplicas"], 5);
    assert_eq!(
        scaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"],
        120
    );
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("the aggregator has not reported on it yet"),
        "{found}"
    );

    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    namespace
        .until_condition("torchserve", "ScalingActive", "False/FailedGetPodsMetric")
        .await;
    let found = fails(&namespace, &switch);
    assert!(found.contains("ScalingActive is False"), "{found}");
    assert_eq!(observed_state(), expected(true, "Recommend", false, 1));
    aggregator
        .push_until(&mut pods, OVERLOAD, || async {
            namespace.get("pushscaler", "torchserve")["status"]["desiredReplicas"] == 5
        })
        .await;
    // Nothing responds at the address of the aggregator, although its decision is stored.
    let gone = ["hpa/torchserve", "--switch", "--aggregator=127.0.0.1:1"];
    let (success, found) = run_while_pushing(&namespace, (&aggregator, &mut pods), &gone).await;
    assert!(!success, "{found}");
    assert!(
        found.contains("no aggregator is known to scale PushScaler torchserve"),
        "{found}"
    );
    assert_eq!(observed_state(), expected(true, "Recommend", false, 1));
    let address = format!("--aggregator={}", aggregator.admin);
    let switch = ["hpa/torchserve", "--switch", &address];

    let hpa = ("autoscaling", "v2", "horizontalpodautoscalers");
    let scalers = ("pushscale.dev", "v1alpha1", "pushscalers");
    let policy = Policy::reject(
        &namespace,
        hpa,
        "DELETE",
        "false",
        &["delete", "hpa/torchserve"],
    );
    let (success, found) = run_while_pushing(&namespace, (&aggregator, &mut pods), &switch).await;
    assert!(!success, "{found}");
    assert!(
        found.contains("failed to delete the HorizontalPodAutoscaler"),
        "{found}"
    );
    assert_eq!(observed_state(), expected(true, "Recommend", true, 1));
    policy.remove();
    let policy = Policy::reject(
        &namespace,
        scalers,
        "UPDATE",
        "object.spec.mode != 'Apply'",
        &[
            "patch",
            "pushscaler/torchserve",
            "--type=merge",
            "-p",
            r#"{"spec":{"mode":"Apply"}}"#,
        ],
    );
    let (success, found) = run_while_pushing(&namespace, (&aggregator, &mut pods), &switch).await;
    assert!(!success, "{found}");
    assert!(found.contains("failed to set the mode"), "{found}");
    assert_eq!(observed_state(), expected(false, "Recommend", true, 1));
    policy.remove();
    let found = succeeds(&namespace, &switch);
    assert!(!found.contains("delete"), "{found}");
    assert_eq!(observed_state().1, "Apply");
    assert_eq!(succeeds(&namespace, &switch), "nothing to do\n");
    aggregator
        .push_until(&mut pods, OVERLOAD, || async { namespace.replicas() == 5 })
        .await;
    // Someone applies the manifest of the HorizontalPodAutoscaler again.
    namespace.apply(HPA);
    namespace
        .until_condition("torchserve", "AbleToScale", "False/TargetContested")
        .await;
    let (success, found) = run_while_pushing(&namespace, (&aggregator, &mut pods), &switch).await;
    assert!(success && found.contains("delete"), "{found}");
    assert_eq!(observed_state().1, "Apply");

    // Someone has created the HorizontalPodAutoscaler again, and a finalizer keeps it while it is deleted.
    namespace.apply(HPA);
    let finalizers = |names: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{names}}}}}"#);
        namespace.kubectl(&["patch", "hpa/torchserve", "--type=merge", "-p", &patch]);
    };
    finalizers(r#"["example.com/kept"]"#);
    namespace.kubectl(&["delete", "hpa/torchserve", "--wait=false"]);
    let policy = Policy::reject(
        &namespace,
        hpa,
        "CREATE",
        "false",
        &[
            "autoscale",
            "deployment/torchserve",
            "--name=probe",
            "--max=3",
            "--cpu=50%",
        ],
    );
    let user = User::create(&namespace);
    let mut undoing = adopt_with(&namespace, &user.kubeconfig, &undo);
    let is_observed = |scaler: &Value| {
        scaler["spec"]["mode"] == "Recommend"
            && scaler["status"]["observedGeneration"] == scaler["metadata"]["generation"]
    };
    namespace
        .until("pushscaler", "torchserve", "observed", is_observed)
        .await;
    // Reads that fail meanwhile are repeated.
    let refused = user.refused();
    user.forbid();
    let start = Instant::now();
    while user.refused() < refused + 2 {
        assert!(
            undoing.try_wait().unwrap().is_none(),
            "a failed read ends it"
        );
        assert!(start.elapsed() < TIMEOUT, "no read is refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    user.permit();
    finalizers("null");
    let (success, found) = text(undoing.wait_with_output().unwrap());
    assert!(!success, "{found}");
    for step in [
        "wait until the deleted HorizontalPodAutoscaler is gone",
        "failed to create the HorizontalPodAutoscaler again",
    ] {
        assert!(found.contains(step), "{step}: {found}");
    }
    assert_eq!(observed_state(), expected(false, "Recommend", true, 5));
    policy.remove();
    let policy = Policy::reject(
        &namespace,
        scalers,
        "UPDATE",
        "'pushscale.dev/adopted-from' in object.metadata.?annotations.orValue({})",
        &[
            "annotate",
            "pushscaler/torchserve",
            "pushscale.dev/adopted-from-",
        ],
    );
    let found = fails(&namespace, &undo);
    assert!(
        found.contains("failed to remove what was stored"),
        "{found}"
    );
    assert_eq!(observed_state(), expected(true, "Recommend", true, 5));
    policy.remove();
    succeeds(&namespace, &undo);
    assert_eq!(observed_state(), expected(true, "Recommend", false, 5));
    assert_eq!(written(&namespace.get("hpa", "torchserve")), before);
    assert_eq!(succeeds(&namespace, &undo), "nothing to do\n");
}

#[tokio::test]
async fn an_hpa_is_not_switched_while_another_one_or_an_owner_has_the_target() {
    let namespace = Namespace::create(cluster(), "adopt-refused");
    namespace.scaled_deployment(1, "  mode: Recommend\n").await;
    namespace.apply(HPA);
    let switch = ["hpa/torchserve", "--switch", "--force"];
    namespace.apply(&HPA.replace("name: torchserve\n  namespace", "name: other\n  namespace"));
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("HorizontalPodAutoscaler other also scales Deployment/torchserve"),
        "{found}"
    );
    namespace.kubectl(&["delete", "hpa/other"]);
    let found = fails(
        &namespace,
        &["hpa/torchserve", "--switch", "--target", "9s"],
    );
    assert!(found.contains("its target latency is not 9s"), "{found}");

    let uid = namespace.get("deployment", "torchserve")["metadata"]["uid"].clone();
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve", "uid": uid, "controller": true,
    });
    let owners = json!({ "metadata": { "ownerReferences": [owner] } }).to_string();
    namespace.kubectl(&["patch", "hpa/torchserve", "--type=merge", "-p", &owners]);
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("belongs to deployment/torchserve"),
        "{found}"
    );
    namespace.kubectl(&["delete", "hpa/torchserve"]);
    namespace.apply(&HPA.replace("name: torchserve }", "name: another }"));
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("PushScaler torchserve exists and scales Deployment/torchserve"),
        "{found}"
    );
    let found = fails(&namespace, &["hpa/missing", "--undo"]);
    assert!(
        found.contains("no PushScaler of the namespace stores it"),
        "{found}"
    );
    assert_eq!(
        state(&namespace, "torchserve", "torchserve"),
        expected(true, "Recommend", false, 1)
    );
}

#[tokio::test]
async fn an_undo_does_not_forget_an_hpa_while_another_has_its_name() {
    let namespace = Namespace::create(cluster(), "adopt-renamed");
    namespace.scaled_deployment(1, "  mode: Recommend\n").await;
    namespace.apply(HPA);
    let before = written(&namespace.get("hpa", "torchserve"));
    succeeds(&namespace, &["hpa/torchserve", "--switch", "--force"]);
    namespace.apply(&HPA.replace("name: torchserve }", "name: another }"));
    let undo = ["hpa/torchserve", "--undo", "--force"];
    let found = fails(&namespace, &undo);
    assert!(
        found.contains("HorizontalPodAutoscaler torchserve scales Deployment/another"),
        "{found}"
    );
    namespace.kubectl(&["delete", "hpa/torchserve"]);
    succeeds(&namespace, &undo);
    assert_eq!(written(&namespace.get("hpa", "torchserve")), before);
}

/// Applies the CRD of KEDA's ScaledObject.
fn install_scaled_objects(namespace: &Namespace<'_>) {
    let output = Command::new("go")
        .args(["mod", "download", "-json", KEDA])
        .current_dir(repository().join("tests/test-cluster/autoscalers/keda"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let downloaded: Value = serde_json::from_slice(&output.stdout).unwrap();
    let directory = downloaded["Dir"].as_str().unwrap();
    let crd = format!("{directory}/config/crd/bases/keda.sh_scaledobjects.yaml");
    namespace.apply(&fs::read_to_string(crd).unwrap());
    let crd = "crd/scaledobjects.keda.sh";
    namespace.kubectl(&["wait", "--for=condition=Established", crd, "--timeout=30s"]);
}

/// Does what KEDA does for a ScaledObject that is not paused.
fn keda_creates_its_hpa(namespace: &Namespace<'_>) {
    let object = namespace.get("scaledobject", "models");
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let owned = format!(
        "name: keda-hpa-models\n  ownerReferences:\n  - {{ apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: models, uid: {uid}, controller: true }}\n  namespace"
    );
    namespace.apply(&HPA.replace("name: torchserve\n  namespace", &owned));
}

/// Waits until the ScaledObject is paused, and does what KEDA does then.
async fn keda_pauses(namespace: &Namespace<'_>) {
    let is_paused =
        |object: &Value| object["metadata"]["annotations"]["autoscaling.keda.sh/paused"] == "true";
    namespace
        .until("scaledobject", "models", "paused", is_paused)
        .await;
    let status = r#"{"status":{"conditions":[{"type":"Paused","status":"True"}]}}"#;
    let patch = [
        "patch",
        "scaledobject/models",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    namespace.kubectl(&[&patch[..], &[status]].concat());
    // Still scaled by KEDA.
    assert_eq!(state(namespace, "keda-hpa-models", "models").1, "Recommend");
    namespace.kubectl(&["delete", "hpa/keda-hpa-models"]);
}

#[tokio::test]
async fn a_scaled_object_is_paused_by_a_switch_and_resumed_by_its_undo() {
    let namespace = Namespace::create(cluster(), "adopt-keda");
    install_scaled_objects(&namespace);
    namespace.deploy("Deployment", 1).await;
    namespace.apply(SCALED_OBJECT);
    keda_creates_its_hpa(&namespace);
    let observed_state = || state(&namespace, "keda-hpa-models", "models");
    let object = "scaledobject/models";

    let found = fails(&namespace, &["hpa/keda-hpa-models", "--switch"]);
    assert!(found.contains("belongs to scaledobject/models"), "{found}");
    let found = fails(&namespace, &[object]);
    assert!(found.contains("pass one with --target"), "{found}");
    let found = succeeds(&namespace, &[object, "--target=1s"]);
    for expected in [
        "maxReplicas: 7",
        "stabilizationWindowSeconds: 120",
        "cooldownPeriod is not taken over",
        "pollingInterval is not taken over",
        "minReplicaCount 0 became 1",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }
    let found = fails(&namespace, &[object, "--switch", "--target=1s"]);
    assert!(found.contains("was created"), "{found}");
    let found = fails(&namespace, &[object, "--switch"]);
    assert!(found.contains("the aggregator has not reported"), "{found}");

    // No aggregator runs: --force.
    let scaled_objects = ("keda.sh", "v1alpha1", "scaledobjects");
    let policy = Policy::reject(
        &namespace,
        scaled_objects,
        "UPDATE",
        "false",
        &["annotate", "scaledobject/models", "probe=1"],
    );
    let switch = [object, "--switch", "--force"];
    let found = fails(&namespace, &switch);
    assert!(
        found.contains("failed to pause the ScaledObject"),
        "{found}"
    );
    assert_eq!(observed_state(), expected(true, "Recommend", true, 1));
    policy.remove();
    let switching = adopt(&namespace, &switch);
    keda_pauses(&namespace).await;
    let (success, found) = text(switching.wait_with_output().unwrap());
    // On a busy machine the command may have given up before.
    if !success {
        assert!(
            found.contains("within 30 s: check that KEDA's operator"),
            "{found}"
        );
        succeeds(&namespace, &switch);
    }
    assert_eq!(observed_state(), expected(false, "Apply", true, 1));

    let policy = Policy::reject(
        &namespace,
        scaled_objects,
        "UPDATE",
        "false",
        &["annotate", "scaledobject/models", "probe=1"],
    );
    let undo = [object, "--undo", "--force"];
    let found = fails(&namespace, &undo);
    assert!(
        found.contains("failed to resume the ScaledObject"),
        "{found}"
    );
    assert_eq!(observed_state(), expected(false, "Recommend", true, 1));
    policy.remove();
    succeeds(&namespace, &undo);
    assert_eq!(observed_state(), expected(false, "Recommend", false, 1));
    let object = namespace.get("scaledobject", "models");
    let paused = &object["metadata"]["annotations"]["autoscaling.keda.sh/paused"];
    assert!(paused.is_null(), "{object:#}");
}
