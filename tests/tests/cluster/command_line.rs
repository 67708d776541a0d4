//! `pushscale status`, `explain` and `doctor` against the API server. There is no kubelet here that could forward a
//! port, so `explain` gets the aggregator's address; tests/tests/node has the port-forward.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::{fs, thread};

use pushscale_tests::fake_pod::Load;
use pushscale_tests::fleet::TIMEOUT;
use pushscale_tests::namespace::{Aggregator, Namespace};
use pushscale_tests::{http, programs};
use serde_json::{Value, json};

use crate::cluster;

pub(crate) fn pushscale(namespace: &Namespace<'_>, arguments: &[&str]) -> Output {
    command(namespace, arguments).output().unwrap()
}

fn command(namespace: &Namespace<'_>, arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::command_line());
    command
        .args(arguments)
        .args(["-n", &namespace.name])
        .env("KUBECONFIG", namespace.cluster.kubeconfig());
    command
}

/// Returns the output of a command that succeeds.
fn printed(namespace: &Namespace<'_>, arguments: &[&str]) -> String {
    let output = pushscale(namespace, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command that prints until it is killed.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(namespace: &Namespace<'_>, arguments: &[&str]) -> Self {
        let mut child = command(namespace, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that contains this.
    fn until(&self, expected: &str) {
        let mut printed = Vec::new();
        loop {
            match self.lines.recv_timeout(TIMEOUT) {
                Ok(line) if line.contains(expected) => return,
                Ok(line) => printed.push(line),
                Err(error) => panic!("{expected}: {error}: {printed:#?}"),
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn kubectl_runs_the_command_as_a_plugin() {
    let namespace = Namespace::create(cluster(), "plugin");
    let directory = namespace.cluster.logs_dir().join("plugin");
    fs::create_dir_all(&directory).unwrap();
    symlink(
        programs::command_line(),
        directory.join("kubectl-pushscale"),
    )
    .unwrap();
    let mut kubectl = namespace.cluster.command("kubectl");
    let path = kubectl.get_envs().find(|(name, _)| *name == "PATH");
    let mut path = path.unwrap().1.unwrap().to_owned();
    path.push(":");
    path.push(&directory);
    kubectl.args(["pushscale", "status", "-n", &namespace.name]);
    let output = kubectl.env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("no PushScalers"), "{output:?}");
}

#[tokio::test]
async fn status_explain_and_doctor_show_a_change_and_its_reasons() {
    let namespace = Namespace::create(cluster(), "command-line");
    let spec = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
    namespace.scaled_deployment(1, spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.replicas() == 5
        })
        .await;
    let has_history = |scaler: &Value| scaler["status"]["history"][0]["to"] == 5;
    namespace
        .until("pushscaler", "torchserve", "with history", has_history)
        .await;

    let table = printed(&namespace, &["status"]);
    assert!(table.starts_with("NAME "), "{table}");
    assert!(table.contains("Deployment/torchserve"), "{table}");
    assert!(!table.contains('\u{1b}'), "colours without a terminal");
    let json: Value =
        serde_json::from_str(&printed(&namespace, &["status", "-o", "json"])).unwrap();
    let change = &json["items"][0]["status"]["history"][0];
    assert_eq!(change["to"], 5, "{change}");
    for figure in ["queueLatency", "target", "arrivalRate", "reason", "time"] {
        assert!(change[figure].is_string(), "{figure}: {change}");
    }

    let yaml = printed(&namespace, &["status", "torchserve", "-o", "yaml"]);
    assert!(yaml.contains("desiredReplicas: 5"), "{yaml}");

    let address = format!("http://{}", aggregator.admin);
    let explain = ["explain", "torchserve", "--aggregator", &address];
    let text = printed(&namespace, &explain);
    for expected in [
        "(min 1, max 5)",
        "Why not more replicas",
        "maxReplicas",
        "Last changes",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    let past = printed(&namespace, &[&explain[..], &["--at", "0s"]].concat());
    assert!(past.contains("replayed from the recording"), "{past}");

    // Nothing injects sidecars here, and no pod has the labels of an aggregator.
    let doctor = pushscale(&namespace, &["doctor", "torchserve"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let found = String::from_utf8(doctor.stdout).unwrap();
    for expected in [
        "no pod has the labels of the aggregator",
        "no sidecar",
        "scale of Deployment/torchserve: replicas 5",
        "has no request for cpu and memory",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }

    let log = aggregator.log();
    let mut audits = log
        .lines()
        .filter(|line| line.contains(r#""target":"audit""#));
    let scaled = audits
        .find(|line| line.contains(r#""outcome":"scale""#))
        .unwrap();
    let scaled: Value = serde_json::from_str(scaled).unwrap();
    assert_eq!(scaled["schema"], 1);
    assert_eq!(scaled["autoscaler"], "command-line/torchserve");
    for figure in [
        "latency_seconds",
        "target_seconds",
        "arrival_rate",
        "current",
        "desired",
    ] {
        assert!(scaled[figure].is_number(), "{figure}: {scaled}");
    }

    let watched = Following::start(&namespace, &["status", "--watch"]);
    let followed = Following::start(&namespace, &[&explain[..], &["--follow"]].concat());
    watched.until("Apply");
    followed.until("(min 1, max 5)");
    namespace.patch("torchserve", r#"{"mode":"Recommend","maxReplicas":4}"#);
    watched.until("Recommend");
    followed.until("(min 1, max 4)");
}

#[tokio::test]
async fn simulate_replays_the_load_of_a_pushscaler() {
    let namespace = Namespace::create(cluster(), "simulate-from");
    let spec = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
    namespace.scaled_deployment(1, spec).await;
    let aggregator = Aggregator::start(&namespace).await;
    let address = format!("http://{}", aggregator.admin);
    let simulate = ["simulate", "--from", "torchserve", "--aggregator", &address];
    let early = pushscale(&namespace, &simulate);
    assert_eq!(early.status.code(), Some(2), "{early:?}");
    let early = String::from_utf8(early.stderr).unwrap();
    assert!(early.contains("not enough load is recorded yet"), "{early}");

    let mut pods = namespace.run_pods(1).await;
    let path = "/debug/scalers/simulate-from/torchserve/load.csv";
    // Each ten seconds are recorded three seconds after their end.
    let is_recorded = |csv: &str| {
        let rates = csv.lines().filter_map(|line| line.split(',').nth(1));
        rates
            .filter(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0))
            .count()
            >= 2
    };
    aggregator
        .push_until(&mut pods, Load::Rate(5.0), || async {
            is_recorded(&http::get(aggregator.admin, path).await.body)
        })
        .await;

    let table = printed(&namespace, &simulate);
    assert!(
        table.starts_with("simulate-from/torchserve\nsimulate-from/torchserve, "),
        "{table}"
    );
    for expected in [
        "\nload history: ",
        "; its replicas used 0.",
        "service 100ms, workers 1, pods 1",
        "\ndefaults: cv 1, queue 100, balancing random, start-delay 30s..120s\n",
        "\nsimulate-from/torchserve  ",
    ] {
        assert!(table.contains(expected), "{expected}:\n{table}");
    }

    // Another manifest is compared with the one in the cluster, and the saved scenario needs no cluster.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("simulate-from");
    fs::create_dir_all(&directory).unwrap();
    let manifest = directory.join("other.yaml");
    let object = namespace.get("pushscaler", "torchserve");
    let mut other = object.clone();
    other["spec"]["maxReplicas"] = 2.into();
    other["metadata"] = json!({ "name": "other" });
    fs::write(&manifest, other.to_string()).unwrap();
    let scenario = directory.join("yesterday.txt");
    let more = [
        "-f",
        manifest.to_str().unwrap(),
        "--save",
        scenario.to_str().unwrap(),
    ];
    let compared = printed(&namespace, &[&simulate[..], &more].concat());
    assert!(compared.contains("other.yaml  "), "{compared}");
    assert!(
        compared.contains("\nsimulate-from/torchserve  "),
        "{compared}"
    );
    let again = Command::new(programs::command_line())
        .args(["simulate".as_ref(), scenario.as_os_str()])
        .args(["-f".as_ref(), manifest.as_os_str()])
        .output()
        .unwrap();
    assert!(again.status.success(), "{again:?}");
    let again = String::from_utf8(again.stdout).unwrap();
    let figures = |table: &str| {
        let line = table
            .lines()
            .find(|line| line.contains("other.yaml  "))
            .unwrap();
        line.to_owned()
    };
    assert_eq!(figures(&again), figures(&compared));

    let conflict = pushscale(&namespace, &[&simulate[..], &["--load", "flat:5"]].concat());
    assert_eq!(conflict.status.code(), Some(2), "{conflict:?}");
}

#[tokio::test]
async fn doctor_finds_what_the_api_server_knows_about_a_target() {
    let namespace = Namespace::create(cluster(), "doctor-targets");
    namespace.deploy("Deployment", 1).await;
    namespace.scale("missing", "apps/v1", "Deployment", "none", "");
    namespace.scale("unscalable", "v1", "ConfigMap", "kube-root-ca.crt", "");
    namespace.scale("unknown", "example.com/v1", "Widget", "w", "");
    namespace.scale("contested", "apps/v1", "Deployment", "torchserve", "");
    namespace.kubectl(&["autoscale", "deployment/torchserve", "--max=3", "--cpu=50%"]);
    let doctor = pushscale(&namespace, &["doctor"]);
    assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
    let found = String::from_utf8(doctor.stdout).unwrap();
    for expected in [
        "Deployment/none does not exist in namespace doctor-targets",
        "ConfigMap/kube-root-ca.crt has no scale subresource",
        "the API server does not know example.com/v1 Widget",
        "HorizontalPodAutoscaler torchserve also scales Deployment/torchserve",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }
}
