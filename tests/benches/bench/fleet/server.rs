//! The aggregator of the benchmark, in a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pushscale_aggregator::PushSecurity;
use pushscale_daemon::tls::ServerCertificate;
use pushscale_decision::{Bounds, Latency, Policy, TargetLatency};
use pushscale_tests::authority::Authority;
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;

use super::Fleet;
use crate::pushes::AcceptAllTokens;

/// The argument that makes this program the server.
pub(crate) const SERVE: &str = "serve-a-fleet";

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Address for pushes.
    pub(super) address: SocketAddr,
    /// The file with the CA of its certificate.
    pub(super) ca: PathBuf,
}

/// What a server uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) resident_kb: u64,
    pub(super) descriptors: usize,
    /// The time of all turns of the control loop.
    pub(super) turn_seconds: f64,
    pub(super) decisions: u64,
}

impl Server {
    pub(super) fn start(fleet: Fleet) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVE, &fleet.pods.to_string(), &fleet.scalers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        let (address, ca) = ready.trim().split_once(' ').unwrap();
        Self {
            address: address.parse().unwrap(),
            ca: ca.into(),
            child,
            stdin,
            stdout,
        }
    }

    pub(super) fn usage(&mut self) -> Usage {
        let line = self.ask("usage");
        let fields: Vec<_> = line.split_whitespace().collect();
        Usage {
            cpu_seconds: fields[0].parse().unwrap(),
            resident_kb: fields[1].parse().unwrap(),
            descriptors: fields[2].parse().unwrap(),
            turn_seconds: fields[3].parse().unwrap(),
            decisions: fields[4].parse().unwrap(),
        }
    }
}

impl Server {
    /// Adds a PushScaler with this many new pods, named by [`pod_of`].
    pub(super) fn add(&mut self, scaler: usize, pods: usize) {
        self.ask(&format!("add {scaler} {pods}"));
    }

    /// Deletes the pods of [`add`](Self::add) and then the PushScaler.
    pub(super) fn remove(&mut self, scaler: usize, pods: usize) {
        self.ask(&format!("remove {scaler} {pods}"));
    }

    fn ask(&mut self, question: &str) -> String {
        self.stdin
            .write_all(format!("{question}\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

/// Returns the name of a pod that was added later.
pub(super) fn pod_of(scaler: usize, pod: usize) -> String {
    format!("torchserve-{scaler}-{pod}")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_file(&self.ca).ok();
    }
}

/// Serves the fleet of these arguments, and answers each line on stdin with a line.
pub(crate) fn serve(arguments: &[String]) {
    let [pods, scalers] = arguments else {
        panic!("pods and PushScalers, not {arguments:?}");
    };
    let (pods, scalers): (usize, usize) = (pods.parse().unwrap(), scalers.parse().unwrap());
    pushscale_daemon::open_files::raise_limit();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut cluster = runtime.block_on(cluster(pods, scalers));
    // Nothing reads the written replica counts, so they would accumulate.
    cluster.writes.close();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<usize>().unwrap();
        match words[..] {
            ["usage"] => println!("{}", runtime.block_on(usage(&cluster))),
            ["add", scaler, pods] => {
                runtime.block_on(add(&cluster, number(scaler), number(pods)));
                println!();
            }
            ["remove", scaler, pods] => {
                runtime.block_on(remove(&cluster, number(scaler), number(pods)));
                println!();
            }
            _ => panic!("not a question: {line}"),
        }
    }
}

async fn usage(cluster: &FakeCluster) -> String {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = Duration::try_from(clock).unwrap().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let metrics = http::get(cluster.admin, "/metrics").await.body;
    let turns = http::sum::<f64>(&metrics, "pushscale_aggregator_turn_seconds_sum");
    let decisions = http::sum::<u64>(&metrics, "pushscale_aggregator_decisions_total");
    format!("{seconds} {resident} {descriptors} {turns} {decisions}")
}

async fn add(cluster: &FakeCluster, scaler: usize, pods: usize) {
    let name = format!("soaked-{scaler}");
    let replicas = u32::try_from(pods).unwrap();
    cluster.add_scaler(&name, &policy(), replicas).await;
    for pod in 0..pods {
        cluster.add_pod_to(&name, &pod_of(scaler, pod)).await;
    }
    cluster.until_handled().await;
}

async fn remove(cluster: &FakeCluster, scaler: usize, pods: usize) {
    let name = format!("soaked-{scaler}");
    for pod in 0..pods {
        cluster.remove_pod_from(&name, &pod_of(scaler, pod)).await;
    }
    cluster.remove_scaler(&name).await;
}

fn policy() -> Policy {
    let target = TargetLatency::new(Latency::from_nanos(1_000_000_000)).unwrap();
    Policy::new(Bounds::new(1, 1_000_000).unwrap(), target)
}

async fn cluster(pods: usize, scalers: usize) -> FakeCluster {
    let (authority, certificate) = (Authority::new("bench"), ServerCertificate::default());
    authority.certify(&certificate, "127.0.0.1");
    let push_security = PushSecurity {
        certificate: Some(certificate),
        reviewer: Some(Arc::new(AcceptAllTokens)),
    };
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    // The defaults, like the chart's.
    let cluster = FakeCluster::start_with_security(address, push_security).await;
    let names: Vec<_> = (0..scalers)
        .map(|scaler| format!("scaler-{scaler}"))
        .collect();
    let replicas = pods.div_ceil(scalers.max(1));
    cluster
        .apply_many(&names, &policy(), replicas.try_into().unwrap())
        .await;
    for pod in 0..pods {
        cluster
            .add_pod_to(&names[pod % scalers], &Fleet::pod(pod))
            .await;
    }
    cluster.until_handled().await;
    let ca = std::env::temp_dir().join(format!("pushscale-fleet-{}.crt", std::process::id()));
    fs::write(&ca, authority.pem()).unwrap();
    println!("{} {}", cluster.push, ca.display());
    cluster
}
