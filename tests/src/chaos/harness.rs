//! Two aggregators and a target.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::sleep;

use super::fault::Fault;
use super::objects::Objects;
use super::port::{Port, Transport};
use super::proxy::{Network, Proxy};
use super::pushes::{Models, Pushes};
use super::replicas::Replicas;
use super::report::Outcome;
use crate::clock;
use crate::http;
use crate::injector::certify;
use crate::namespace::{Aggregator, Namespace, TIMEOUT};
use crate::process::kubeconfig_of;
use crate::programs;
use crate::test_cluster::TestCluster;

/// The replicas before and after the load rises by half.
const BEFORE: i32 = 4;
const AFTER: i32 = 6;

/// Interval between two checks of the aggregators.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// An aggregator behind its proxy.
struct AggregatorReplica {
    aggregator: Aggregator,
    proxy: Proxy,
}

/// Two aggregators, a Deployment and its pods, and what was observed.
pub struct Harness<'a> {
    pub(super) objects: Objects<'a>,
    aggregators: Vec<AggregatorReplica>,
    pushes: Pushes,
    replicas: Replicas,
    api_server: SocketAddr,
    /// The certificate of the external metrics.
    tls_dir: PathBuf,
    started: usize,
    second_writers: usize,
}

impl<'a> Harness<'a> {
    /// Creates the objects and starts both aggregators in a cluster that nothing else uses.
    pub async fn start(cluster: &'a TestCluster) -> Self {
        let namespace = Namespace::create(cluster, "chaos");
        let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options);
        let config = config.await.unwrap();
        let api_server = config.cluster_url.authority().unwrap().as_str();
        let api_server = api_server.parse().unwrap();
        let client = Client::try_from(config).unwrap();
        let replicas = Replicas::watch(client.clone(), &namespace.name);
        let objects = Objects::create(namespace, client, BEFORE.unsigned_abs()).await;
        let mut harness = Self {
            pushes: Pushes::start(),
            objects,
            aggregators: Vec::new(),
            replicas,
            api_server,
            tls_dir: cluster.logs_dir().join("chaos-external-metrics"),
            started: 0,
            second_writers: 0,
        };
        certify(&harness.tls_dir);
        for _ in 0..2 {
            harness.add_aggregator().await;
        }
        harness.restore_load().await;
        harness
    }

    pub(super) fn cluster(&self) -> &'a TestCluster {
        self.objects.namespace.cluster
    }

    async fn add_aggregator(&mut self) {
        self.add_program(&programs::aggregator(), &[]).await;
    }

    /// Starts an aggregator whose wall clock is ten minutes ahead.
    async fn add_aggregator_ahead(&mut self) {
        let shifted = clock::shifted(self.cluster(), 600);
        let settings = shifted
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.add_program(&programs::dynamic_aggregator(), &settings)
            .await;
    }

    async fn add_program(&mut self, program: &Path, more: &[(&str, &str)]) {
        let proxy = Proxy::start(self.api_server).await.unwrap();
        let kubeconfig = self.kubeconfig_through(&proxy);
        self.started += 1;
        let pod = format!("aggregator-{}", self.started);
        let settings = [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("PUSHSCALE_AGGREGATOR_LEADER_ELECTION", "true"),
            ("PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE", "pushscale"),
            ("PUSHSCALE_AGGREGATOR_POD_NAME", &pod),
            ("PUSHSCALE_AGGREGATOR_AUTH", "token"),
            ("PUSHSCALE_AGGREGATOR_KEDA", "true"),
            ("PUSHSCALE_AGGREGATOR_KEDA_LISTEN", "127.0.0.1:0"),
            ("PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS", "true"),
            (
                "PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS_LISTEN",
                "127.0.0.1:0",
            ),
            (
                "PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS_TLS_DIR",
                self.tls_dir.to_str().unwrap(),
            ),
        ];
        let (namespace, settings) = (&self.objects.namespace, [&settings, more].concat());
        let aggregator = Aggregator::start_program(program, namespace, &settings).await;
        self.aggregators
            .push(AggregatorReplica { aggregator, proxy });
        self.update_addresses().await;
    }

    fn kubeconfig_through(&self, proxy: &Proxy) -> PathBuf {
        let path = kubeconfig_of(self.cluster(), "pushscale", "pushscale-aggregator");
        let file = format!("--kubeconfig={}", path.display());
        let cluster = Kubeconfig::read_from(&path).unwrap().clusters[0]
            .name
            .clone();
        let server = format!("--server=https://{}", proxy.address());
        let arguments = [&file, "config", "set-cluster", &cluster, &server];
        self.cluster().kubectl(&arguments).unwrap();
        path
    }

    async fn update_addresses(&self) {
        let aggregators = self.aggregators.iter();
        let addresses = aggregators.map(|replica| replica.aggregator.push).collect();
        self.pushes.set_aggregators(addresses).await;
    }

    /// Runs one fault, and returns what it has cost.
    pub async fn run_fault(&mut self, fault: Fault) -> Outcome {
        self.replicas.take();
        self.second_writers = 0;
        let start = Instant::now();
        fault.inject(self).await;
        let lasted = start.elapsed();
        let ended = Instant::now();
        self.wait_for_recovery(fault).await;
        let recovery = ended.elapsed();
        // All pods share the load.
        self.pushes.set_latency(1.0).await;
        self.run_pods(AFTER).await;
        let lost_readings = self.count_not_reporting().await;
        fault.assert_happened(self).await;
        // Longer than the stabilization window: what was decided wrongly is written by now.
        self.watch_leaders_for(Duration::from_secs(5)).await;
        let seen = self.replicas.take();
        let falls = seen.windows(2).filter(|pair| pair[1] < pair[0]);
        let outcome = Outcome {
            fault: fault.name(),
            lasted,
            wrong_scale_downs: falls.count(),
            second_writers: self.second_writers,
            recovery,
            lost_readings,
        };
        self.restore_load().await;
        outcome
    }

    /// Raises the load, and waits until the replicas have followed.
    async fn wait_for_recovery(&mut self, fault: Fault) {
        self.pushes.set_latency(1.5).await;
        let start = Instant::now();
        while self.replicas.last() != Some(AFTER) {
            assert!(
                start.elapsed() < TIMEOUT,
                "{}: the replicas do not follow the load:\n{}\n{}",
                fault.name(),
                self.objects.namespace.describe(),
                self.logs()
            );
            self.record_leaders().await;
        }
    }

    /// Lowers the load, and waits until everything is as before the faults.
    async fn restore_load(&mut self) {
        let start = Instant::now();
        self.pushes.set_latency(2.0 / 3.0).await;
        while self.replicas.last() != Some(BEFORE) {
            let (elapsed, namespace) = (start.elapsed(), &self.objects.namespace);
            assert!(
                elapsed < TIMEOUT,
                "{}\n{}",
                namespace.describe(),
                self.logs()
            );
            self.record_leaders().await;
        }
        self.pushes.set_latency(1.0).await;
        self.run_pods(BEFORE).await;
        self.count_not_reporting().await;
        self.leader().await;
        self.watch_leaders_for(Duration::from_secs(4)).await;
    }

    /// Waits for this number of pods, and pushes for them, each with a token of its own.
    async fn run_pods(&self, count: i32) {
        let namespace = &self.objects.namespace;
        let mut pods = namespace.run_pods(count.unsigned_abs() as usize).await;
        for pod in &mut pods {
            pod.token = Some(namespace.token(pod, "pushscale"));
        }
        self.pushes.set_pods(pods).await;
    }

    /// Waits until the status counts all pods as reporting. Returns how many it does not count in time.
    async fn count_not_reporting(&mut self) -> usize {
        let start = Instant::now();
        loop {
            let scaler = self.objects.namespace.get("pushscaler", "torchserve");
            let fresh = scaler["status"]["pods"]["fresh"].as_i64().unwrap_or(0);
            let expected = i64::from(self.replicas.last().unwrap());
            if fresh == expected {
                return 0;
            }
            if start.elapsed() > TIMEOUT {
                return usize::try_from(expected - fresh).unwrap_or_default();
            }
            self.record_leaders().await;
        }
    }

    /// Records which aggregator leads.
    async fn record_leaders(&mut self) {
        let start = Instant::now();
        let mut leaders = 0;
        for replica in &self.aggregators {
            // A paused one does not respond, and cannot write.
            let leads = tokio::time::timeout(CHECK_INTERVAL, replica.aggregator.leads()).await;
            leaders += usize::from(leads.unwrap_or(false));
        }
        self.second_writers += usize::from(leaders > 1);
        sleep(CHECK_INTERVAL.saturating_sub(start.elapsed())).await;
    }

    async fn watch_leaders_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.record_leaders().await;
        }
    }

    /// Raises the load and waits for `time`.
    pub(super) async fn observe(&mut self, time: Duration) {
        self.pushes.set_latency(1.5).await;
        self.watch_leaders_for(time).await;
    }

    /// Raises the load, waits for `time`, and checks that every pod has reported, new ones included.
    pub(super) async fn observe_reports(&mut self, fault: Fault, time: Duration) {
        self.observe(time).await;
        self.wait_for_recovery(fault).await;
        self.run_pods(AFTER).await;
        let lost = self.count_not_reporting().await;
        let metrics = self.aggregators[0].aggregator.metrics().await;
        assert_eq!(lost, 0, "{}: pods cannot report:\n{metrics}", fault.name());
    }

    /// Waits for a leader, and returns its index.
    pub(super) async fn leader(&mut self) -> usize {
        let start = Instant::now();
        loop {
            for (index, replica) in self.aggregators.iter().enumerate() {
                if replica.aggregator.leads().await {
                    return index;
                }
            }
            assert!(start.elapsed() < TIMEOUT, "no leader:\n{}", self.logs());
            self.record_leaders().await;
        }
    }

    /// Returns all ports of the aggregators.
    pub(super) async fn all_ports(&self) -> Vec<Port> {
        let mut ports = Vec::new();
        for AggregatorReplica { aggregator, .. } in &self.aggregators {
            let external_metrics = Transport::Tls(self.tls_dir.join("tls.crt"));
            ports.extend([
                Port::new("pushes", aggregator.push, Transport::Http),
                Port::new("aggregator, admin", aggregator.admin, Transport::Http),
                Port::new(
                    "external metrics",
                    aggregator.external_metrics().await,
                    external_metrics,
                ),
                Port::new("KEDA", aggregator.keda().await, Transport::Grpc),
            ]);
        }
        ports
    }

    /// Returns the addresses of the ports of the aggregators that take plain HTTP.
    pub(super) fn ports(&self) -> Vec<SocketAddr> {
        let aggregators = self.aggregators.iter();
        aggregators
            .flat_map(|replica| [replica.aggregator.push, replica.aggregator.admin])
            .collect()
    }

    pub(super) async fn pod_uid(&self) -> String {
        self.pushes.pod_uid().await
    }

    pub(super) fn push_ports(&self) -> Vec<SocketAddr> {
        let aggregators = self.aggregators.iter();
        aggregators.map(|replica| replica.aggregator.push).collect()
    }

    pub(super) fn set_network(&self, index: usize, network: Network) {
        self.aggregators[index].proxy.set(network);
    }

    /// Changes the network of both for a time.
    pub(super) async fn network(&mut self, network: Network, time: Duration) {
        for index in 0..self.aggregators.len() {
            self.set_network(index, network);
        }
        self.observe(time).await;
        for index in 0..self.aggregators.len() {
            self.set_network(index, Network::Works);
        }
    }

    pub(super) async fn partition_leader(&mut self, time: Duration) {
        let leader = self.leader().await;
        self.set_network(leader, Network::Drops);
        self.observe(time).await;
        self.set_network(leader, Network::Works);
    }

    pub(super) fn signal(&self, index: usize, signal: &str) {
        self.aggregators[index].aggregator.signal(signal);
    }

    pub(super) async fn replace_leader(&mut self, signal: &str) {
        let leader = self.leader().await;
        self.replace(leader, signal).await;
    }

    /// Ends an aggregator by a signal, and starts another one as a Deployment does.
    pub(super) async fn replace(&mut self, index: usize, signal: &str) {
        self.end(index, signal).await;
        self.add_aggregator().await;
    }

    async fn end(&mut self, index: usize, signal: &str) {
        let mut ended = self.aggregators.remove(index);
        self.update_addresses().await;
        ended.aggregator.signal(signal);
        ended.aggregator.exited().await;
    }

    /// Both lose the API server, which restarts. The PushScaler is deleted and created again in the meantime: no event
    /// reports that, because the restarted API server does not know the events before.
    pub(super) async fn relist(&mut self) {
        for index in 0..self.aggregators.len() {
            self.set_network(index, Network::Refuses);
        }
        self.objects.recreate();
        self.objects.restart_api_server().await;
        for index in 0..self.aggregators.len() {
            self.set_network(index, Network::Works);
        }
    }

    /// Changes the target while the leader writes it, and changes it back.
    pub(super) async fn retarget_in_write(&mut self) {
        let slow = Network::Delays(Duration::from_millis(300));
        for index in 0..self.aggregators.len() {
            self.set_network(index, slow);
        }
        let mut wait = Duration::ZERO;
        // A replica count that is stored after the target has changed was written before the leader knew that.
        while self.replicas.last() == Some(BEFORE) {
            self.objects.retarget("torchserve");
            self.observe(wait).await;
            assert_eq!(self.replicas.last(), Some(BEFORE), "written too soon");
            self.objects.retarget("other");
            self.observe(Duration::from_secs(3)).await;
            wait += Duration::from_millis(200);
        }
        for index in 0..self.aggregators.len() {
            self.set_network(index, Network::Works);
        }
        self.objects.assert_other_is_unchanged();
        self.objects.retarget("torchserve");
    }

    /// Starts an aggregator whose clock is ahead, which follows, leads and ends.
    pub(super) async fn clock_ahead(&mut self) {
        let leader = self.leader().await;
        self.end(1 - leader, "KILL").await;
        self.add_aggregator_ahead().await;
        // Longer than the Lease.
        self.watch_leaders_for(Duration::from_secs(13)).await;
        assert_eq!(self.leader().await, 0, "{}", self.logs());
        self.end(0, "KILL").await;
        // A candidate that started meanwhile could win the election.
        self.leader().await;
        self.add_aggregator().await;
        self.watch_leaders_for(Duration::from_secs(13)).await;
        assert_eq!(self.leader().await, 0, "{}", self.logs());
        let renewed: Timestamp = self.objects.renewed().parse().unwrap();
        let ahead = renewed.duration_since(Timestamp::now());
        assert!(ahead.as_secs() > 500, "the clock is only {ahead:?} ahead");
        self.replace(0, "KILL").await;
    }

    pub(super) async fn set_models(&self, models: Models) {
        self.pushes.set_models(models).await;
    }

    /// Returns the sum of a metric of all aggregators, with its labels.
    pub(super) async fn total(&self, series: &str) -> u64 {
        let mut total = 0;
        for replica in &self.aggregators {
            total += http::sum::<u64>(&replica.aggregator.metrics().await, series);
        }
        total
    }

    /// Panics if an aggregator's log does not contain this text.
    pub(super) fn assert_logged(&self, text: &str) {
        for replica in &self.aggregators {
            let log = replica.aggregator.log();
            assert!(log.contains(text), "not logged: {text}\n{log}");
        }
    }

    fn logs(&self) -> String {
        let logs = self
            .aggregators
            .iter()
            .map(|replica| replica.aggregator.log());
        let ends = logs.map(|log| {
            let lines: Vec<_> = log.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        });
        ends.collect::<Vec<_>>().join("\n---\n")
    }
}
