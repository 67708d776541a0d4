//! Generates load on a Service of a test cluster, and collects the outcome of each request.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::fleet::{TIMEOUT, until};
use crate::programs;
use crate::test_cluster::TestCluster;

/// A running load generator, which opens a new connection for each request. Killed when dropped.
#[derive(Debug)]
pub struct LoadGenerator {
    child: Child,
    samples: PathBuf,
}

/// The outcomes of the requests.
#[derive(Debug)]
pub struct LoadReport {
    /// The number of requests sent.
    pub sent: usize,
    /// The time from the start to the last outcome, in seconds.
    pub seconds: f64,
    /// The send times of the requests that were not answered with 200, in seconds since the start, by outcome.
    pub lost: BTreeMap<String, Vec<f64>>,
}

impl LoadGenerator {
    /// Starts a load generator for a `host:port` once it accepts connections. For a moment after the first pod is
    /// Ready, kube-proxy still rejects connections to its Service, because it has no endpoints. For four pods that
    /// became Ready at once, this took 0.25 s. These rejections are not requests that the fleet loses.
    pub fn start(cluster: &TestCluster, name: &str, address: &str, steps: &[&str]) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap();
        let connect = format!("exec 3<>/dev/tcp/{host}/{port}");
        until(TIMEOUT, "reachable", || {
            let mut bash = cluster.command("bash");
            bash.args(["-c", &connect]).stderr(Stdio::null());
            bash.status().unwrap().success()
        });
        let samples = cluster.logs_dir().join(format!("{name}-load.csv"));
        let mut command = cluster.command(programs::load().to_str().unwrap());
        let url = format!("http://{address}/predictions/sleepy");
        command.args(["--url", &url]);
        for step in steps {
            command.args(["--step", step]);
        }
        command.arg("--csv").arg(&samples);
        let log = fs::File::create(samples.with_extension("json")).unwrap();
        let child = command.stdout(log).spawn().unwrap();
        Self { child, samples }
    }

    /// Waits for the end of the schedule and for the last response.
    pub fn finish(mut self) -> LoadReport {
        assert!(self.child.wait().unwrap().success());
        let mut loaded = LoadReport {
            sent: 0,
            seconds: 0.0,
            lost: BTreeMap::new(),
        };
        for sample in fs::read_to_string(&self.samples).unwrap().lines().skip(1) {
            let [start_s, latency_ms, outcome] = sample.split(',').collect::<Vec<_>>()[..] else {
                panic!("not a sample: {sample}");
            };
            let start_s: f64 = start_s.parse().unwrap();
            let latency_ms: f64 = latency_ms.parse().unwrap();
            loaded.sent += 1;
            loaded.seconds = loaded.seconds.max(start_s + latency_ms / 1000.0);
            if outcome != "200" {
                loaded
                    .lost
                    .entry(outcome.to_owned())
                    .or_default()
                    .push(start_s);
            }
        }
        loaded
    }

    /// Ends the schedule now, and waits for the last response.
    pub fn stop(self) -> LoadReport {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.finish()
    }
}

impl LoadReport {
    /// Returns the number of lost requests.
    pub fn count_lost(&self) -> usize {
        self.lost.values().map(Vec::len).sum()
    }
}

impl Drop for LoadGenerator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
