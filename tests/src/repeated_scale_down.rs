//! Scales a fleet down repeatedly under load, and collects the outcome of every request.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use pushscale_api::Algorithm;

use crate::fleet::{Fleet, FleetOptions, TIMEOUT, until};
use crate::load::LoadReport;
use crate::test_cluster::TestCluster;

/// The replicas before each scale-down.
pub const PODS: u32 = 4;

/// The arrival rate as a share of the measured capacity of the pods that remain during a scale-down.
pub const LOAD_SHARE: f64 = 0.45;

/// Requests per pod of the measurement of the capacity.
const MEASURED_REQUESTS: u32 = 50;

/// The outcomes of the requests, and of the drains.
#[derive(Debug)]
pub struct ScaleDownReport {
    /// The arrival rate per second.
    pub rate: f64,
    /// The requests.
    pub loaded: LoadReport,
    /// The log lines of the drains, one per terminated pod.
    pub drains: Vec<String>,
}

/// Returns the options of a fleet of [`PODS`] pods, with or without the preStop hook.
pub fn fleet_options(drain: bool) -> FleetOptions {
    FleetOptions {
        replicas: PODS,
        drain,
        loaded: true,
        // With the default of 100, a machine that slows down after the measurement rejects requests with 503.
        torchserve: vec!["--job-queue-size=10000".to_owned()],
        ..FleetOptions::by(Algorithm::Ratio)
    }
}

/// Removes one pod this number of times by scaling the Deployment, at [`LOAD_SHARE`] of the capacity of the others. The
/// fleet's PushScaler is deleted first.
///
/// # Panics
/// The pods do not start or terminate in time.
pub fn scale_down_repeatedly(
    cluster: &TestCluster,
    fleet: &Fleet<'_>,
    times: u32,
) -> ScaleDownReport {
    fleet.kubectl(&["delete", "pushscaler", "torchserve", "--ignore-not-found"]);
    let mut logs = FollowedLogs {
        cluster,
        namespace: fleet.namespace(),
        logs: BTreeMap::new(),
    };
    let rate = LOAD_SHARE * f64::from(PODS - 1) * measure_pod_capacity(fleet);
    let load = fleet.load(&[&format!("{rate:.2}:3600")]);
    let mut ended = BTreeSet::new();
    for _ in 0..times {
        let before = fleet.pods();
        logs.follow(&before);
        scale(fleet, PODS - 1);
        until(TIMEOUT, "one pod less", || {
            fleet.pods().len() < PODS as usize
        });
        let after = fleet.pods();
        ended.extend(before.into_iter().filter(|pod| !after.contains(pod)));
        scale(fleet, PODS);
        fleet.kubectl(&[
            "rollout",
            "status",
            "deployment/torchserve",
            "--timeout=300s",
        ]);
        // One drain at a time: two would leave the others less than the capacity that they need.
        until(TIMEOUT, "one pod deleted", || {
            let all = ["get", "pods", "-l=app=torchserve", "-o=name"];
            fleet.kubectl(&all).lines().count() == PODS as usize
        });
    }
    ScaleDownReport {
        rate,
        loaded: load.stop(),
        drains: logs.drains(&ended),
    }
}

/// Returns the requests per second that the slowest pod completes while all pods are saturated.
///
/// Every pod gets a fixed number of requests at once, so the time until the last response is the measured quantity. The
/// Service distributes connections evenly, so the slowest pod limits the fleet.
fn measure_pod_capacity(fleet: &Fleet<'_>) -> f64 {
    let pods = fleet.pods();
    let step = format!("{}:0.1", MEASURED_REQUESTS * 10);
    let start = |pod: &String| fleet.load_pod(pod, &[&step]);
    let loads: Vec<_> = pods.iter().map(start).collect();
    let reports = loads.into_iter().map(|load| {
        let report = load.finish();
        assert_eq!(report.count_lost(), 0, "{report:?}");
        f64::from(MEASURED_REQUESTS) / report.seconds
    });
    reports.fold(f64::INFINITY, f64::min)
}

fn scale(fleet: &Fleet<'_>, replicas: u32) {
    let replicas = format!("--replicas={replicas}");
    fleet.kubectl(&["scale", "deployment/torchserve", &replicas]);
}

/// The logs of the sidecars, which are deleted with their pods.
struct FollowedLogs<'a> {
    cluster: &'a TestCluster,
    namespace: &'a str,
    logs: BTreeMap<String, (Child, PathBuf)>,
}

impl FollowedLogs<'_> {
    fn follow(&mut self, pods: &[String]) {
        for pod in pods {
            if self.logs.contains_key(pod) {
                continue;
            }
            let path = self
                .cluster
                .logs_dir()
                .join(format!("{}-{pod}.log", self.namespace));
            let child = self
                .cluster
                .command("kubectl")
                .args([
                    "-n",
                    self.namespace,
                    "logs",
                    "-f",
                    pod,
                    "-c",
                    "pushscale-sidecar",
                ])
                .stdout(File::create(&path).unwrap())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            self.logs.insert(pod.clone(), (child, path));
        }
    }

    fn drains(&self, ended: &BTreeSet<String>) -> Vec<String> {
        let logs = self.logs.iter().filter(|(pod, _)| ended.contains(*pod));
        logs.filter_map(|(_, (_, path))| {
            let log = fs::read_to_string(path).unwrap();
            log.lines()
                .find_map(|line| Some(line.split_once("sidecar::drain: ")?.1.to_owned()))
        })
        .collect()
    }
}

impl Drop for FollowedLogs<'_> {
    fn drop(&mut self) {
        for (child, _) in self.logs.values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
