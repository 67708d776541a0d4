//! Scales a fleet down repeatedly under load, and collects the outcome of every request.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, which fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::fleet::{Fleet, HANG, until};
use crate::load::LoadReport;
use crate::test_cluster::TestCluster;

/// The replicas before each scale-down.
pub const PODS: u32 = 4;

/// Arrival rate per second: 70% of the capacity of three pods with one worker and a service time of 105 ms.
pub const RATE: u32 = 20;

/// The outcomes of the requests, and of the drains.
#[derive(Debug)]
pub struct ScaleDownReport {
    /// The requests.
    pub loaded: LoadReport,
    /// The log lines of the drains, one per terminated pod.
    pub drains: Vec<String>,
}

/// Removes one pod this number of times by scaling the Deployment. The fleet's PushScaler is deleted first.
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
    let load = fleet.load(&[&format!("{RATE}:3600")]);
    let mut ended = BTreeSet::new();
    for _ in 0..times {
        let before = fleet.pods();
        logs.follow(&before);
        scale(fleet, PODS - 1);
        until(HANG, "one pod less", || fleet.pods().len() < PODS as usize);
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
        until(HANG, "one pod deleted", || {
            let all = ["get", "pods", "-l=app=torchserve", "-o=name"];
            fleet.kubectl(&all).lines().count() == PODS as usize
        });
    }
    ScaleDownReport {
        loaded: load.stop(),
        drains: logs.drains(&ended),
    }
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
