//! A namespace in a test cluster, and an aggregator for it with exactly the permissions of the shipped manifest; and
//! `pushscale-certificates` with exactly the permissions of the chart.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::charts::{Helm, name_of, objects};
use crate::fake_pod::{FakePod, Load};
use crate::process::Process;
use crate::programs;
use crate::test_cluster::{ClusterError, TestCluster};

/// The limit for anything that takes seconds on an idle machine. Only a hang takes longer.
pub const TIMEOUT: Duration = Duration::from_secs(300);

/// Applies the CRD and the aggregator's permissions, as a user would.
pub fn install(cluster: &TestCluster) {
    for file in ["crd.yaml", "aggregator.yaml"] {
        let path = programs::repository().join("helm/plain").join(file);
        let text = fs::read_to_string(path).unwrap();
        // The Deployment is left out, because it would find no node: the tests run the aggregator as a process.
        let objects: Vec<&str> = text
            .split("\n---\n")
            .filter(|object| !object.contains("kind: Deployment"))
            .collect();
        cluster.api().apply(&objects.join("\n---\n")).unwrap();
    }
    until_established(cluster);
}

/// Waits until the API server serves PushScalers and their checkpoints.
pub fn until_established(cluster: &TestCluster) {
    let wait = ["wait", "--for=condition=Established", "--timeout=30s"];
    let crds = [
        "crd/pushscalers.pushscale.dev",
        "crd/pushscalercheckpoints.pushscale.dev",
    ];
    cluster.kubectl(&[&wait[..], &crds].concat()).unwrap();
}

/// Permits the aggregator to review tokens, which the shipped manifest does not: it has no tokens.
pub fn permit_token_reviews(cluster: &TestCluster) {
    let (name, account) = (
        "token-reviews",
        "--serviceaccount=pushscale:pushscale-aggregator",
    );
    let resource = "--resource=tokenreviews.authentication.k8s.io";
    cluster
        .kubectl(&["create", "clusterrole", name, "--verb=create", resource])
        .unwrap();
    let role = format!("--clusterrole={name}");
    cluster
        .kubectl(&["create", "clusterrolebinding", name, &role, account])
        .unwrap();
}

/// Applies the account of `pushscale-certificates` and its permissions, as the chart renders them.
pub fn permit_certificates(cluster: &TestCluster, helm: &Helm) {
    let rendered = helm.template("pushscale", &json!({})).unwrap();
    let kinds = ["ServiceAccount", "Role", "ClusterRole"];
    let mut applied = 0;
    for object in objects(&rendered) {
        let name = name_of(&object);
        let (kind, name) = name.split_once('/').unwrap();
        let kind = kind.trim_end_matches("Binding");
        if kinds.contains(&kind) && name.starts_with("pushscale-certificates") {
            cluster.api().apply(&object.to_string()).unwrap();
            applied += 1;
        }
    }
    assert_eq!(
        applied, 7,
        "an account, and three roles with their bindings"
    );
}

/// The namespace of one test.
pub struct Namespace<'a> {
    /// The test cluster.
    pub cluster: &'a TestCluster,
    /// The name.
    pub name: String,
}

impl<'a> Namespace<'a> {
    /// Creates the namespace.
    pub fn create(cluster: &'a TestCluster, name: &str) -> Self {
        cluster.api().create_namespace(name).unwrap();
        Self {
            cluster,
            name: name.to_owned(),
        }
    }

    /// Runs kubectl in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend_from_slice(arguments);
        self.cluster.kubectl(&all).unwrap()
    }

    /// Applies objects, after replacing `NAMESPACE` by the namespace's name.
    pub fn apply(&self, yaml: &str) {
        self.cluster
            .api()
            .apply(&yaml.replace("NAMESPACE", &self.name))
            .unwrap();
    }

    /// Returns an object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        self.cluster.api().get(&self.name, kind, name).unwrap()
    }

    /// Returns all objects of a kind as JSON.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        self.cluster.api().objects(&self.name, kind, "").unwrap()
    }

    /// Returns the pods with the label `app`.
    pub fn pods(&self, app: &str) -> Vec<Value> {
        let label = format!("app={app}");
        self.cluster
            .api()
            .objects(&self.name, "pod", &label)
            .unwrap()
    }

    /// Waits until an object fulfils the condition.
    pub async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) {
        let start = Instant::now();
        loop {
            let object = self.get(kind, name);
            if condition(&object) {
                return;
            }
            assert!(
                start.elapsed() < TIMEOUT,
                "{kind}/{name} is not {what} within {TIMEOUT:?}: {object:#}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates a Deployment or StatefulSet `torchserve`. No kubelet runs its pods: their status is set to Running by
    /// hand.
    pub async fn deploy(&self, kind: &str, replicas: u32) {
        self.apply(&format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{ name: torchserve, namespace: NAMESPACE }}\n\
             spec:\n  replicas: {replicas}\n  serviceName: torchserve\n  podManagementPolicy: Parallel\n  selector: {{ matchLabels: {{ app: torchserve }} }}\n  \
             template:\n    metadata: {{ labels: {{ app: torchserve }} }}\n    \
             spec: {{ containers: [ {{ name: torchserve, image: none }} ] }}\n"
        ).replace(
            if kind == "Deployment" { "  serviceName: torchserve\n  podManagementPolicy: Parallel\n" } else { "\0" },
            "",
        ));
        self.run_pods(replicas as usize).await;
    }

    /// Waits for this number of pods, and sets their status to Running.
    pub async fn run_pods(&self, count: usize) -> Vec<FakePod> {
        let start = Instant::now();
        let pods = loop {
            let pods = self.pods("torchserve");
            // Pods of a former target may be listed, and then be deleted.
            let is_there = |pod: &Value| self.set_pod_if_there(name_in(pod), "Running", true);
            if pods.len() == count && pods.iter().all(is_there) {
                break pods;
            }
            assert!(
                start.elapsed() < TIMEOUT,
                "{} pods, not {count}",
                pods.len()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        pods.iter()
            .map(|pod| {
                let uid = pod["metadata"]["uid"].as_str().unwrap();
                FakePod::new(&self.name, name_in(pod), uid)
            })
            .collect()
    }

    /// Sets the status of a pod in place of a kubelet. A controller may have deleted it in the meantime: returns
    /// whether it is there.
    pub fn set_pod_if_there(&self, name: &str, phase: &str, ready: bool) -> bool {
        let set = self.patch_status(name, phase, ready);
        if let Err(error) = &set {
            assert!(error.to_string().contains("NotFound"), "{error}");
        }
        set.is_ok()
    }

    fn patch_status(&self, name: &str, phase: &str, ready: bool) -> Result<(), ClusterError> {
        let ready = if ready { "True" } else { "False" };
        let status =
            json!({ "phase": phase, "conditions": [{ "type": "Ready", "status": ready }] });
        self.cluster
            .api()
            .patch_status(&self.name, "pod", name, &status)
    }

    /// Creates a token for this audience that is bound to the pod, like the kubelet.
    pub fn token(&self, pod: &FakePod, audience: &str) -> String {
        let spec = json!({
            "audiences": [audience],
            "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": pod.name },
        });
        self.cluster
            .api()
            .token(&self.name, "default", spec)
            .unwrap()
    }

    /// Creates a PushScaler `name` for the object `kind/target`, with more lines for `spec`. The defaults are 5
    /// replicas at most and a target of 7 ms.
    pub fn scale(&self, name: &str, api_version: &str, kind: &str, target: &str, more: &str) {
        let mut spec = format!(
            "  scaleTargetRef: {{ apiVersion: {api_version}, kind: {kind}, name: {target} }}\n{more}"
        );
        for (field, line) in [
            ("minReplicas:", "1"),
            ("maxReplicas:", "5"),
            (
                "metrics:",
                "[ { type: QueueLatency, queueLatency: { target: 7ms } } ]",
            ),
        ] {
            if !more.contains(field) {
                writeln!(spec, "  {field} {line}").unwrap();
            }
        }
        self.apply(&format!(
            "apiVersion: pushscale.dev/v1alpha1\nkind: PushScaler\n\
             metadata: {{ name: {name}, namespace: NAMESPACE }}\nspec:\n{spec}"
        ));
    }

    /// Creates the Deployment `torchserve` with a PushScaler of the same name.
    pub async fn scaled_deployment(&self, replicas: u32, more: &str) {
        self.deploy("Deployment", replicas).await;
        self.scale_deployment(more);
    }

    /// Creates a PushScaler of the same name for the Deployment `torchserve`.
    pub fn scale_deployment(&self, more: &str) {
        self.scale("torchserve", "apps/v1", "Deployment", "torchserve", more);
    }

    /// Returns `spec.replicas` of the Deployment `torchserve`.
    pub fn replicas(&self) -> u64 {
        let deployment = self.get("deployment", "torchserve");
        deployment["spec"]["replicas"].as_u64().unwrap()
    }

    /// Returns the output of `kubectl describe` for the PushScaler `torchserve`.
    pub fn describe(&self) -> String {
        self.kubectl(&["describe", "pushscaler", "torchserve"])
    }

    /// Merges fields, in JSON, into the PushScaler's spec.
    pub fn patch(&self, scaler: &str, spec: &str) {
        let spec: Value = serde_json::from_str(spec).unwrap();
        self.merge("pushscaler", scaler, json!({ "spec": spec }));
    }

    /// Merges fields into an object.
    pub fn merge(&self, kind: &str, name: &str, fields: Value) {
        self.cluster
            .api()
            .merge(&self.name, kind, name, fields)
            .unwrap();
    }

    /// Returns `status` and `reason` of a condition of the PushScaler, such as `True/ValidMetricFound`.
    pub fn condition(object: &Value, kind: &str) -> String {
        object["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind)
            .map_or("-".to_owned(), |found| {
                format!(
                    "{}/{}",
                    found["status"].as_str().unwrap(),
                    found["reason"].as_str().unwrap()
                )
            })
    }

    /// Waits until the PushScaler has this condition.
    pub async fn until_condition(&self, scaler: &str, kind: &str, expected: &str) {
        self.until("pushscaler", scaler, expected, |object| {
            Self::condition(object, kind) == expected
        })
        .await;
    }
}

/// An aggregator process that watches one namespace, with the permissions of the shipped manifest.
pub struct Aggregator {
    /// Address for pushes.
    pub push: SocketAddr,
    /// Address of the admin pages.
    pub admin: SocketAddr,
    process: Process,
}

impl Aggregator {
    /// Starts an aggregator and waits until it accepts pushes. It is ready once the pods have pushed.
    pub async fn start(namespace: &Namespace<'_>) -> Self {
        Self::start_with(namespace, &[]).await
    }

    /// The same with additional settings.
    pub async fn start_with(namespace: &Namespace<'_>, more: &[(&str, &str)]) -> Self {
        Self::start_program(&programs::aggregator(), namespace, more).await
    }

    /// The same with another build of the program.
    pub async fn start_program(
        program: &Path,
        namespace: &Namespace<'_>,
        more: &[(&str, &str)],
    ) -> Self {
        let settings = [
            ("PUSHSCALE_AGGREGATOR_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_AGGREGATOR_ADMIN_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_AGGREGATOR_WATCH_NAMESPACE", &namespace.name),
            (
                "PUSHSCALE_AGGREGATOR_LOG_LEVEL",
                "info,pushscale_aggregator=debug",
            ),
        ];
        let settings = [&settings, more].concat();
        let (cluster, account) = (namespace.cluster, "pushscale-aggregator");
        let command = cluster.command(program.to_str().unwrap());
        let process = Process::start(cluster, "pushscale", account, command, &settings);
        let aggregator = Self {
            push: process.address("push").await,
            admin: process.address("admin").await,
            process,
        };
        crate::http::until(TIMEOUT, || async {
            aggregator.log().contains("complete=true")
        })
        .await;
        aggregator
    }

    /// Returns the address of the external metrics, if they are on.
    pub async fn external_metrics(&self) -> SocketAddr {
        self.process.address("external metrics").await
    }

    /// Returns the address of the external scaler for KEDA, if it is on.
    pub async fn keda(&self) -> SocketAddr {
        self.process.address("keda").await
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success(), "kill -s {name} {pid}");
    }

    /// Waits until it has exited, and returns how long that took.
    pub async fn exited(&mut self) -> Duration {
        let start = Instant::now();
        while self.process.is_running() {
            assert!(
                start.elapsed() < TIMEOUT,
                "it does not exit:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    }

    /// Whether it is the leader.
    pub async fn leads(&self) -> bool {
        self.metrics()
            .await
            .contains("pushscale_aggregator_leader 1\n")
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns its metrics page.
    pub async fn metrics(&self) -> String {
        crate::http::get(self.admin, "/metrics").await.body
    }

    /// Returns the debug page of all scalers, as JSON.
    pub async fn debug_page(&self) -> String {
        crate::http::get(self.admin, "/debug/scalers").await.body
    }

    /// Pushes this load for every pod until the condition holds, like sidecars do but five times as often.
    pub async fn push_until<F: Future<Output = bool>>(
        &self,
        pods: &mut [FakePod],
        load: Load,
        mut condition: impl FnMut() -> F,
    ) {
        let start = Instant::now();
        while !condition().await {
            assert!(
                start.elapsed() < TIMEOUT,
                "the condition does not hold within {TIMEOUT:?}:\n{}",
                self.log()
            );
            for pod in &mut *pods {
                let answer = pod.push(self.push, load).await;
                // A new pod may still be unknown.
                assert!(matches!(answer.status, 200 | 404), "{answer:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A process of `pushscale-certificates`, with the permissions of the chart.
pub struct Certificates {
    /// Address of the admin pages.
    pub admin: SocketAddr,
    process: Process,
}

impl Certificates {
    /// Starts a process with these settings, and waits until it is ready: until there are certificates.
    pub async fn start_with(cluster: &TestCluster, more: &[(&str, &str)]) -> Self {
        let settings = [
            ("PUSHSCALE_CERTIFICATES_ADMIN_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_CERTIFICATES_POD_NAMESPACE", "pushscale"),
            (
                "PUSHSCALE_CERTIFICATES_LOG_LEVEL",
                "info,pushscale_certificates=debug",
            ),
        ];
        let settings = [&settings, more].concat();
        let account = "pushscale-certificates";
        let command = cluster.command(programs::certificates().to_str().unwrap());
        let process = Process::start(cluster, "pushscale", account, command, &settings);
        let certificates = Self {
            admin: process.address("admin").await,
            process,
        };
        until_ready(certificates.admin).await;
        certificates
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns its metrics page.
    pub async fn metrics(&self) -> String {
        crate::http::get(self.admin, "/metrics").await.body
    }
}

fn name_in(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

async fn until_ready(admin: SocketAddr) {
    crate::http::until(TIMEOUT, || async move {
        crate::http::get(admin, "/ready").await.status == 200
    })
    .await;
}
