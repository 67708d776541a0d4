//! Pods end under load, again and again, and every client tells what became of its request.
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

/// Between these sizes the fleet goes down and up.
pub const PODS: u32 = 4;

/// Requests a second: 70 % of what three pods of one worker and 105 ms a request answer.
pub const RATE: u32 = 20;

/// What became of the requests, and of the pods.
#[derive(Debug)]
pub struct Shrunk {
    /// The requests.
    pub loaded: LoadReport,
    /// What the drains said, one of each pod that ended.
    pub drains: Vec<String>,
}

/// Takes one pod away so many times, by hand: the fleet's PushScaler is removed, since it would have a say.
///
/// # Panics
/// If the pods do not come and go in time.
pub fn shrink(cluster: &TestCluster, fleet: &Fleet<'_>, times: u32) -> Shrunk {
    fleet.kubectl(&["delete", "pushscaler", "torchserve", "--ignore-not-found"]);
    let mut followed = Followed {
        cluster,
        namespace: fleet.namespace(),
        logs: BTreeMap::new(),
    };
    let load = fleet.load(&[&format!("{RATE}:3600")]);
    let mut ended = BTreeSet::new();
    for _ in 0..times {
        let before = fleet.pods();
        followed.follow(&before);
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
        // One that drains at a time: two would leave the others more than they bear.
        until(HANG, "one pod deleted", || {
            let all = ["get", "pods", "-l=app=torchserve", "-o=name"];
            fleet.kubectl(&all).lines().count() == PODS as usize
        });
    }
    Shrunk {
        loaded: load.stop(),
        drains: followed.drains(&ended),
    }
}

fn scale(fleet: &Fleet<'_>, replicas: u32) {
    let replicas = format!("--replicas={replicas}");
    fleet.kubectl(&["scale", "deployment/torchserve", &replicas]);
}

/// The sidecars' logs, which go with their pods.
struct Followed<'a> {
    cluster: &'a TestCluster,
    namespace: &'a str,
    logs: BTreeMap<String, (Child, PathBuf)>,
}

impl Followed<'_> {
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

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        for (child, _) in self.logs.values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
