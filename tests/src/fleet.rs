//! Real TorchServe pods on a node, each with the sidecar of the shipped example, and the aggregator from its shipped
//! manifest or from the chart.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_injector::{Auth, Facts, Outcome, PullPolicy, Sidecar};
use pushscale_protocol::SIDECAR_PORT;
use pushscale_testkit::cache;
use pushscale_testkit::local_torchserve::LocalTorchServe;
use serde_json::{Value, json};

use crate::charts::{self, Helm};
use crate::load::LoadGenerator;
pub use crate::namespace::TIMEOUT;
use crate::programs;
use crate::test_cluster::{ClusterError, Image, TestCluster};

/// The version that the shipped manifests name.
const TAG: &str = env!("CARGO_PKG_VERSION");

/// Installs Pushscale on a node by the plain manifests, and waits until the aggregator is ready.
pub fn install(cluster: &TestCluster) {
    import_images(cluster);
    for file in ["crd.yaml", "aggregator.yaml"] {
        cluster.api().apply(&shipped(file)).unwrap();
    }
    cluster
        .kubectl(&[
            "-n",
            "pushscale",
            "rollout",
            "status",
            "deployment/pushscale-aggregator",
            "--timeout=300s",
        ])
        .unwrap();
}

/// Installs Pushscale on a node by its chart with these values. By default it has TLS and the authentication of pods,
/// and no injector.
pub fn install_chart(cluster: &TestCluster, helm: &Helm, values: &Value) {
    import_images(cluster);
    let chart = charts::directory("pushscale");
    let install = ["install", "pushscale", chart.to_str().unwrap()];
    let options = [
        "--namespace=pushscale",
        "--create-namespace",
        "--wait",
        "--timeout=300s",
    ];
    let mut all = json!({ "injector": { "enabled": false } });
    for (key, value) in values.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    helm.on(cluster, &[&install[..], &options].concat(), Some(&all))
        .unwrap();
}

fn import_images(cluster: &TestCluster) {
    for (name, program) in [
        ("sidecar", programs::sidecar()),
        ("aggregator", programs::aggregator()),
        ("certificates", programs::certificates()),
        ("injector", programs::injector()),
    ] {
        let inside = format!("/pushscale-{name}");
        cluster
            .import_image(&Image {
                name: format!("pushscale/{name}:{TAG}"),
                files: vec![(PathBuf::from(&inside), program, 0o755)],
                entrypoint: vec![inside],
                user: Some("65532:65532".to_owned()),
            })
            .unwrap();
    }
    import_scratch(cluster);
}

/// Imports the images of `make image`.
pub fn import_built_images(cluster: &TestCluster) {
    for name in ["sidecar", "aggregator", "certificates", "injector"] {
        let image = format!("pushscale/{name}:{TAG}");
        cluster
            .import_archive(&image, &programs::image(name))
            .unwrap();
    }
}

/// Imports the empty image in which TorchServe's files are mounted.
pub fn import_scratch(cluster: &TestCluster) {
    cluster
        .import_image(&Image {
            name: "pushscale.test/scratch:1".to_owned(),
            ..Image::default()
        })
        .unwrap();
}

/// Returns a text of the leading aggregator's pod by its JSON Pointer, such as `/metadata/name`.
pub fn aggregator(cluster: &TestCluster, pointer: &str) -> String {
    let get = |kind: &str, object: &str| cluster.api().get("pushscale", kind, object);
    let mut found = None;
    until(TIMEOUT, "a leader", || {
        let lease = get("lease", "pushscale-aggregator").unwrap_or_default();
        let leader = lease["spec"]["holderIdentity"].as_str();
        // The pod of a leader that was killed is named until its Lease ends.
        // `<pod>_<start of the process>`
        let pod = leader.and_then(|leader| leader.split('_').next());
        let pod = pod.and_then(|pod| get("pod", pod).ok());
        let text = pod.as_ref().and_then(|pod| pod.pointer(pointer)?.as_str());
        found = text.map(str::to_owned);
        found.is_some()
    });
    found.unwrap()
}

/// A namespace with a TorchServe Deployment, a Service and, usually, a PushScaler, all named `torchserve`.
#[derive(Debug)]
pub struct Fleet<'a> {
    cluster: &'a TestCluster,
    namespace: String,
}

/// The differences from the shipped example.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// The initial replicas.
    pub replicas: u32,
    /// Additional arguments of `start.py`.
    pub torchserve: Vec<String>,
    /// `spec.minReplicas`.
    pub min_replicas: u32,
    /// `spec.algorithm`.
    pub algorithm: Algorithm,
    /// `spec.metrics[0].queueLatency.target`.
    pub target: &'static str,
    /// `spec.behavior`.
    pub behavior: Value,
    /// Whether there is a PushScaler. Otherwise the test creates it.
    pub scaled: bool,
    /// Whether the pods have the example's preStop hook.
    pub drain: bool,
    /// Whether pods become Ready only after their model has answered a request. Requests before that are queued, and on
    /// a machine that loads the model slowly the queue overflows.
    pub loaded: bool,
    /// Injects the sidecar like the injector, with TLS and tokens of this lifetime, for an aggregator that requires
    /// both.
    pub token_seconds: Option<u32>,
}

impl FleetOptions {
    /// One pod, with the usual target of the algorithm. `Ratio` treats the smallest queue as an overload, like the HPA
    /// with a queue metric. The queueing model keeps its target, and 7 ms would need a fleet that is idle.
    pub fn by(algorithm: Algorithm) -> Self {
        Self {
            replicas: 1,
            min_replicas: 1,
            torchserve: Vec::new(),
            algorithm,
            target: match algorithm {
                Algorithm::Model => "100ms",
                Algorithm::Ratio => "7ms",
            },
            behavior: json!({ "scaleDown": { "stabilizationWindowSeconds": 15 } }),
            scaled: true,
            drain: true,
            loaded: false,
            token_seconds: None,
        }
    }
}

impl<'a> Fleet<'a> {
    /// Creates the fleet and waits until its pods are Ready.
    pub fn create(
        cluster: &'a TestCluster,
        torchserve: &LocalTorchServe,
        namespace: &str,
        options: &FleetOptions,
    ) -> Self {
        cluster.api().create_namespace(namespace).unwrap();
        let fleet = Self {
            cluster,
            namespace: namespace.to_owned(),
        };
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&shipped("torchserve-example.yaml")).unwrap();
        let [mut deployment, mut scaler] = <[Value; 2]>::try_from(documents).unwrap();
        use_local_torchserve(&mut deployment, torchserve, options);
        scaler["spec"]["minReplicas"] = json!(options.min_replicas);
        scaler["spec"]["algorithm"] = json!(options.algorithm);
        scaler["spec"]["metrics"][0]["queueLatency"]["target"] = json!(options.target);
        scaler["spec"]["behavior"] = options.behavior.clone();
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "torchserve" },
            "spec": {
                "selector": { "app": "torchserve" },
                "ports": [{ "name": "inference", "port": 8080 }],
            },
        });
        let scaler = options.scaled.then_some(scaler);
        for mut object in [service, deployment].into_iter().chain(scaler) {
            object["metadata"]["namespace"] = json!(namespace);
            cluster.api().apply(&object.to_string()).unwrap();
        }
        fleet.kubectl(&[
            "rollout",
            "status",
            "deployment/torchserve",
            "--timeout=300s",
        ]);
        fleet
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs kubectl in the namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend_from_slice(arguments);
        self.cluster.kubectl(&all).unwrap()
    }

    /// Returns an object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> Value {
        self.cluster.api().get(&self.namespace, kind, name).unwrap()
    }

    fn pod_address(&self, pod: &str) -> String {
        let address = &self.get("pod", pod)["status"]["podIP"];
        address.as_str().unwrap_or_default().to_owned()
    }

    /// Returns `spec.replicas` of the Deployment.
    pub fn replicas(&self) -> u32 {
        let deployment = self.get("deployment", "torchserve");
        u32::try_from(deployment["spec"]["replicas"].as_u64().unwrap()).unwrap()
    }

    /// Returns the names of the pods that are not terminating.
    pub fn pods(&self) -> Vec<String> {
        let pods = self
            .cluster
            .api()
            .objects(&self.namespace, "pod", "app=torchserve");
        pods.unwrap()
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Sets the service time of a pod in milliseconds, from its next request on; `None` for that of the other pods.
    ///
    /// # Errors
    /// The pod has terminated.
    pub fn set_service_time(&self, pod: &str, ms: Option<u32>) -> Result<(), ClusterError> {
        let script = match ms {
            // A request must not find an empty file.
            Some(ms) => format!("echo {ms} >/tmp/new && mv /tmp/new /tmp/sleepy-ms"),
            None => "rm -f /tmp/sleepy-ms".to_owned(),
        };
        let pod = ["-n", &self.namespace, "exec", pod, "-c", "torchserve"];
        let command = ["--", "/usr/bin/bash", "-c", &script];
        self.cluster
            .kubectl(&[&pod[..], &command].concat())
            .map(drop)
    }

    /// Returns the condition of the PushScaler of this type as JSON; null if there is none.
    pub fn condition(&self, kind: &str) -> Value {
        let scaler = self.get("pushscaler", "torchserve");
        let conditions = scaler["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let found = conditions.find(|condition| condition["type"] == kind);
        found.cloned().unwrap_or_default()
    }

    /// Merges fields, in JSON, into the spec of the PushScaler.
    pub fn patch(&self, spec: &str) {
        let spec: Value = serde_json::from_str(spec).unwrap();
        let fields = json!({ "spec": spec });
        self.cluster
            .api()
            .merge(&self.namespace, "pushscaler", "torchserve", fields)
            .unwrap();
    }

    /// Returns the status of the PushScaler as JSON text.
    pub fn status(&self) -> String {
        self.get("pushscaler", "torchserve")["status"].to_string()
    }

    /// Returns the output of `kubectl describe pushscaler`.
    pub fn describe(&self) -> String {
        self.kubectl(&["describe", "pushscaler", "torchserve"])
    }

    /// Returns the `host:port` of the Service.
    pub fn address(&self) -> String {
        let service = self.get("service", "torchserve");
        format!("{}:8080", service["spec"]["clusterIP"].as_str().unwrap())
    }

    /// Starts a load on the Service. kube-proxy balances connections.
    pub fn load(&self, steps: &[&str]) -> LoadGenerator {
        LoadGenerator::start(self.cluster, &self.namespace, &self.address(), steps)
    }

    /// Starts a load on one pod.
    pub fn load_pod(&self, pod: &str, steps: &[&str]) -> LoadGenerator {
        let address = format!("{}:8080", self.pod_address(pod));
        let name = format!("{}-{pod}", self.namespace);
        LoadGenerator::start(self.cluster, &name, &address, steps)
    }

    /// Returns the queue depth in the newest reading of a pod's sidecar.
    pub fn reported_queue_depth(&self, pod: &str) -> f64 {
        self.reported(pod, "waiting")
    }

    /// Returns the number of completed requests in the newest reading of a pod's sidecar.
    pub fn reported_completed(&self, pod: &str) -> f64 {
        self.reported(pod, "completedTotal")
    }

    /// Returns a number of the only model in the newest reading of a pod's sidecar; 0 if it is unknown.
    fn reported(&self, pod: &str, field: &str) -> f64 {
        let url = format!("http://{}:{SIDECAR_PORT}/reading", self.pod_address(pod));
        let answer = self.cluster.command("probe").args(["get", &url]).output();
        let answer = String::from_utf8_lossy(&answer.unwrap().stdout).into_owned();
        let reading = answer.find('{').map(|start| &answer[start..]);
        let reading: Option<Value> = reading.and_then(|json| serde_json::from_str(json).ok());
        let number = reading.and_then(|reading| reading["models"][0][field].as_f64());
        number.unwrap_or_default()
    }

    /// Deletes the fleet without waiting: its pods terminate while the next fleet starts.
    pub fn delete(self) {
        self.kubectl(&[
            "delete",
            "deployment,pushscaler",
            "torchserve",
            "--ignore-not-found",
        ]);
        let namespace = ["delete", "namespace", &self.namespace, "--wait=false"];
        self.cluster.kubectl(&namespace).unwrap();
    }
}

/// Installs the real TorchServe on this machine. Returns `None`, with a message, without Python or Java, except under
/// `CI=true`.
pub fn local_torchserve() -> Option<LocalTorchServe> {
    let installed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(LocalTorchServe::install(&cache::directory(), print));
    match installed {
        Ok(torchserve) => Some(torchserve),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("{error}")
        }
        Err(error) => {
            print(&format!("\nNOT RUN: {error}\n"));
            None
        }
    }
}

/// Polls until the condition holds.
///
/// # Panics
/// The condition does not hold within the time.
pub fn until(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let started_at = Instant::now();
    loop {
        let polled = Instant::now();
        if condition() {
            return;
        }
        assert!(
            started_at.elapsed() < within,
            "not {what} within {within:?}"
        );
        pause(polled.elapsed());
    }
}

/// Sleeps after a poll of this duration. Polling then takes a fifth of a core at most: a poll that runs `kubectl` every
/// 200 ms takes a quarter of one, and several tests poll at the same time.
pub fn pause(polled: Duration) {
    thread::sleep((polled * 4).max(Duration::from_millis(200)));
}

/// Writes past the test harness, which shows the output of failed tests only.
fn print(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

fn shipped(file: &str) -> String {
    fs::read_to_string(programs::repository().join("helm/plain").join(file)).unwrap()
}

/// Replaces the image of the example, which cannot be pulled here, by this machine's TorchServe. The sidecar is
/// unchanged.
fn use_local_torchserve(
    deployment: &mut Value,
    torchserve: &LocalTorchServe,
    options: &FleetOptions,
) {
    let pod = torchserve_pod(torchserve);
    let template = &mut deployment["spec"]["template"]["spec"];
    let drained = template["containers"][0]["lifecycle"].clone();
    assert!(drained.is_object(), "the example drains its pods");
    template["containers"] = pod["spec"]["containers"].clone();
    if options.drain {
        template["containers"][0]["lifecycle"] = drained;
    }
    if options.loaded {
        template["containers"][0]["startupProbe"] = json!({
            "httpGet": { "path": "/predictions/sleepy", "port": "inference" },
            "periodSeconds": 1,
            "timeoutSeconds": 20,
            // Only a hang takes 300 s.
            "failureThreshold": 300,
        });
    }
    template["volumes"] = pod["spec"]["volumes"].clone();
    let arguments = template["containers"][0]["args"].as_array_mut().unwrap();
    arguments.extend(options.torchserve.iter().map(|word| json!(word)));
    deployment["spec"]["replicas"] = json!(options.replicas);
    if let Some(seconds) = options.token_seconds {
        let template = &mut deployment["spec"]["template"];
        template["spec"]["initContainers"] = json!([]);
        inject(template, seconds);
    }
}

/// Adds the sidecar like the injector, with another lifetime of its token.
fn inject(template: &mut Value, token_seconds: u32) {
    let sidecar = Sidecar {
        image: format!("pushscale/sidecar:{TAG}"),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        auth: Auth::Token,
        own_namespace: None,
    };
    let facts = Facts {
        namespace: "models",
        container: None,
        native_sidecar: true,
        sidecar: &sidecar,
    };
    let outcome = pushscale_injector::inject_value(template, &facts).unwrap();
    assert!(matches!(outcome, Outcome::Injected(_)), "{outcome:?}");
    pushscale_injector::apply(&outcome.changes(), template);
    let volumes = template["spec"]["volumes"].as_array_mut().unwrap();
    let token = volumes
        .iter_mut()
        .find_map(|volume| volume.pointer_mut("/projected/sources/0/serviceAccountToken"));
    token.unwrap()["expirationSeconds"] = json!(token_seconds);
}

/// Returns the test cluster's example pod, with a real TorchServe from directories of this machine.
pub fn torchserve_pod(torchserve: &LocalTorchServe) -> Value {
    let prefix = Command::new(torchserve.python())
        .args(["-c", "import sys; print(sys.base_prefix)"])
        .output()
        .unwrap();
    let prefix = String::from_utf8(prefix.stdout).unwrap();
    let prefix = prefix.trim();
    let script = torchserve.script();
    let text = include_str!("../test-cluster/examples/torchserve-pod.yaml")
        .replace("@PYTHON@", prefix)
        .replace("@VENV@", torchserve.venv().to_str().unwrap())
        .replace(
            "@LOCAL_TORCHSERVE@",
            script.parent().unwrap().to_str().unwrap(),
        );
    // The example mounts /usr anyway.
    let twice = |line: &&str| prefix == "/usr" && line.contains("name: python,");
    let lines: Vec<&str> = text.lines().filter(|line| !twice(line)).collect();
    serde_saphyr::from_str(&lines.join("\n")).unwrap()
}
