//! Two aggregators and a target.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::sleep;

use super::fault::Fault;
use super::proxy::{Network, Proxy};
use super::pushes::Pushes;
use super::replicas::Replicas;
use super::report::Outcome;
use crate::namespace::{Aggregator, Namespace, SOON};
use crate::process::kubeconfig_of;
use crate::test_cluster::TestCluster;

const SPEC: &str = "  algorithm: Ratio\n  maxReplicas: 6\n  \
                    metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n  \
                    behavior: { scaleDown: { stabilizationWindowSeconds: 3 } }\n";

/// The replicas before and after the load rises by half.
const BEFORE: i32 = 4;
const AFTER: i32 = 6;

/// Interval between two checks of the aggregators.
const LOOK: Duration = Duration::from_millis(200);

/// An aggregator behind its proxy.
struct Member {
    aggregator: Aggregator,
    proxy: Proxy,
}

/// Two aggregators, a Deployment and its pods, and what was observed.
pub struct World<'a> {
    namespace: Namespace<'a>,
    members: Vec<Member>,
    pushes: Pushes,
    replicas: Replicas,
    api_server: SocketAddr,
    started: usize,
    second_writers: usize,
}

impl<'a> World<'a> {
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
        namespace
            .scaled_deployment(BEFORE.unsigned_abs(), SPEC)
            .await;
        let replicas = Replicas::watch(client, &namespace.name);
        let mut world = Self {
            pushes: Pushes::start(),
            namespace,
            members: Vec::new(),
            replicas,
            api_server,
            started: 0,
            second_writers: 0,
        };
        for _ in 0..2 {
            world.add_aggregator().await;
        }
        world.return_load().await;
        world
    }

    pub(super) fn cluster(&self) -> &'a TestCluster {
        self.namespace.cluster
    }

    async fn add_aggregator(&mut self) {
        let proxy = Proxy::start(self.api_server).await.unwrap();
        let kubeconfig = self.kubeconfig_through(&proxy);
        self.started += 1;
        let pod = format!("aggregator-{}", self.started);
        let settings = [
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("PUSHSCALE_AGGREGATOR_LEADER_ELECTION", "true"),
            ("PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE", "pushscale"),
            ("PUSHSCALE_AGGREGATOR_POD_NAME", &pod),
        ];
        let aggregator = Aggregator::start_with(&self.namespace, &settings).await;
        self.members.push(Member { aggregator, proxy });
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
        let members = self.members.iter();
        let addresses = members.map(|member| member.aggregator.push).collect();
        self.pushes.set_aggregators(addresses).await;
    }

    /// Runs one fault, and returns what it has cost.
    pub async fn suffer(&mut self, fault: Fault) -> Outcome {
        self.replicas.take();
        self.second_writers = 0;
        let began = Instant::now();
        fault.happen(self).await;
        let lasted = began.elapsed();
        self.pushes.set_latency(1.5).await;
        let ended = Instant::now();
        while self.replicas.last() != Some(AFTER) {
            assert!(
                ended.elapsed() < SOON,
                "{} is not over:\n{}\n{}",
                fault.name(),
                self.namespace.describe(),
                self.logs()
            );
            self.record_leaders().await;
        }
        let recovery = ended.elapsed();
        // All pods share the load.
        self.pushes.set_latency(1.0).await;
        let pods = self.namespace.run_pods(AFTER.unsigned_abs() as usize).await;
        self.pushes.set_pods(pods).await;
        let lost_readings = self.count_not_reporting().await;
        // Longer than the stabilization window: what was decided wrongly is written by now.
        self.look_for(Duration::from_secs(5)).await;
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
        self.return_load().await;
        outcome
    }

    /// Lets the load fall, and waits until everything is as before the faults.
    async fn return_load(&mut self) {
        let began = Instant::now();
        self.pushes.set_latency(2.0 / 3.0).await;
        while self.replicas.last() != Some(BEFORE) {
            assert!(began.elapsed() < SOON, "{}", self.namespace.describe());
            self.record_leaders().await;
        }
        self.pushes.set_latency(1.0).await;
        let pods = self
            .namespace
            .run_pods(BEFORE.unsigned_abs() as usize)
            .await;
        self.pushes.set_pods(pods).await;
        self.count_not_reporting().await;
        self.leader().await;
        self.look_for(Duration::from_secs(4)).await;
    }

    /// Waits until the status counts all pods as reporting. Returns how many it does not count in time.
    async fn count_not_reporting(&mut self) -> usize {
        let began = Instant::now();
        loop {
            let scaler = self.namespace.get("pushscaler", "torchserve");
            let fresh = scaler["status"]["pods"]["fresh"].as_i64().unwrap_or(0);
            let expected = i64::from(self.replicas.last().unwrap());
            if fresh == expected {
                return 0;
            }
            if began.elapsed() > SOON {
                return usize::try_from(expected - fresh).unwrap_or_default();
            }
            self.record_leaders().await;
        }
    }

    /// Records which aggregator leads.
    async fn record_leaders(&mut self) {
        let began = Instant::now();
        let mut leaders = 0;
        for member in &self.members {
            // A paused one does not respond, and cannot write.
            let leads = tokio::time::timeout(LOOK, member.aggregator.leads()).await;
            leaders += usize::from(leads.unwrap_or(false));
        }
        self.second_writers += usize::from(leaders > 1);
        sleep(LOOK.saturating_sub(began.elapsed())).await;
    }

    async fn look_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.record_leaders().await;
        }
    }

    /// Lets the load rise and `time` pass.
    pub(super) async fn observe(&mut self, time: Duration) {
        self.pushes.set_latency(1.5).await;
        self.look_for(time).await;
    }

    /// Waits for a leader, and returns its index.
    pub(super) async fn leader(&mut self) -> usize {
        let began = Instant::now();
        loop {
            for (index, member) in self.members.iter().enumerate() {
                if member.aggregator.leads().await {
                    return index;
                }
            }
            assert!(began.elapsed() < SOON, "no leader:\n{}", self.logs());
            self.record_leaders().await;
        }
    }

    /// Returns the addresses of all ports of the aggregators.
    pub(super) fn ports(&self) -> Vec<SocketAddr> {
        let members = self.members.iter();
        members
            .flat_map(|member| [member.aggregator.push, member.aggregator.admin])
            .collect()
    }

    pub(super) fn set_network(&self, member: usize, network: Network) {
        self.members[member].proxy.set(network);
    }

    /// Changes the network of both for a time.
    pub(super) async fn network(&mut self, network: Network, time: Duration) {
        for member in 0..self.members.len() {
            self.set_network(member, network);
        }
        self.observe(time).await;
        for member in 0..self.members.len() {
            self.set_network(member, Network::Works);
        }
    }

    pub(super) async fn partition_leader(&mut self, time: Duration) {
        let leader = self.leader().await;
        self.set_network(leader, Network::Drops);
        self.observe(time).await;
        self.set_network(leader, Network::Works);
    }

    pub(super) fn signal(&self, member: usize, signal: &str) {
        self.members[member].aggregator.signal(signal);
    }

    pub(super) async fn replace_leader(&mut self, signal: &str) {
        let leader = self.leader().await;
        self.replace(leader, signal).await;
    }

    /// Ends an aggregator by a signal, and starts another one as a Deployment does.
    pub(super) async fn replace(&mut self, member: usize, signal: &str) {
        let mut ended = self.members.remove(member);
        self.update_addresses().await;
        ended.aggregator.signal(signal);
        ended.aggregator.exited().await;
        self.add_aggregator().await;
    }

    pub(super) fn delete_lease(&self) {
        let delete = ["-n", "pushscale", "delete", "lease", "pushscale-aggregator"];
        self.cluster().kubectl(&delete).unwrap();
    }

    pub(super) fn deny_scale(&self) {
        self.namespace.apply(DENIAL);
    }

    pub(super) fn allow_scale(&self) {
        for kind in [
            "validatingadmissionpolicybinding",
            "validatingadmissionpolicy",
        ] {
            self.cluster().kubectl(&["delete", kind, "chaos"]).unwrap();
        }
    }

    pub(super) fn break_spec(&self) {
        let zone = r#"{"schedules":[{"name":"day","cron":"0 8 * * *","duration":"1h","timezone":"Mars/Olympus","minReplicas":1}]}"#;
        self.namespace.patch("torchserve", zone);
    }

    pub(super) fn mend_spec(&self) {
        self.namespace.patch("torchserve", r#"{"schedules":null}"#);
    }

    pub(super) fn recreate(&self) {
        self.namespace
            .kubectl(&["delete", "pushscaler", "torchserve"]);
        self.namespace
            .scale("torchserve", "apps/v1", "Deployment", "torchserve", SPEC);
    }

    /// Changes a hundred HPAs again and again. No target of theirs exists.
    pub(super) async fn foreign_hpas(&mut self, time: Duration) {
        let hpas = |max: u32| {
            let hpa = |number: u32| {
                format!(
                    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n\
                     metadata: {{ name: foreign-{number}, namespace: NAMESPACE }}\n\
                     spec: {{ maxReplicas: {max}, scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: foreign-{number} }} }}\n"
                )
            };
            (0..100).map(hpa).collect::<Vec<_>>().join("---\n")
        };
        let began = Instant::now();
        for max in 2.. {
            self.namespace.apply(&hpas(max));
            self.observe(LOOK).await;
            if began.elapsed() > time {
                break;
            }
        }
        self.namespace.kubectl(&["delete", "hpa", "--all"]);
    }

    fn logs(&self) -> String {
        let logs = self.members.iter().map(|member| member.aggregator.log());
        let ends = logs.map(|log| {
            let lines: Vec<_> = log.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        });
        ends.collect::<Vec<_>>().join("\n---\n")
    }
}

/// Rejects every change of a scale in the namespace.
const DENIAL: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: chaos }
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - { apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments/scale] }
  validations:
  - { expression: "false", message: "no change of the replicas today" }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: chaos }
spec:
  policyName: chaos
  validationActions: [Deny]
"#;
