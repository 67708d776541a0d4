//! The replicas stay correct while a real Deployment controller rolls out.
//!
//! The tests set the status of the pods: those of the old version and of a good new one become ready a moment after
//! their creation, those of a broken one never. The ready pods share the load.

mod servers;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pushscale_api::Algorithm;
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};

use crate::cluster;
use servers::{BROKEN, Pod, Servers};

/// The capacity of 4 pods, for both algorithms: each has a queue latency equal to the target, or gets 7.5 of about 9
/// requests per second.
const LOAD: f64 = 4.0;

struct Rollout<'a> {
    servers: Servers,
    _aggregator: Aggregator,
    namespace: Namespace<'a>,
    /// Broken pods whose status is set.
    status_set: BTreeSet<String>,
    fewest: u64,
    most: u64,
}

impl Rollout<'_> {
    async fn start(what: &str, algorithm: Algorithm, strategy: &str) -> Self {
        let name = format!("{what}-{algorithm:?}").to_lowercase();
        let namespace = Namespace::create(cluster(), &name);
        namespace.deploy("Deployment", 4).await;
        namespace.kubectl(&["patch", "deployment", "torchserve", "-p", strategy]);
        let aggregator = Aggregator::start(&namespace).await;
        let more = format!(
            "  algorithm: {algorithm:?}\n  minReplicas: 1\n  maxReplicas: 12\n  \
             metrics: [ {{ type: QueueLatency, queueLatency: {{ target: 1s }} }} ]\n  \
             behavior: {{ scaleDown: {{ stabilizationWindowSeconds: 3 }} }}\n"
        );
        namespace.scale_deployment(&more);
        let servers = Servers::start(&namespace, aggregator.push, algorithm, LOAD);
        let mut rollout = Self {
            servers,
            _aggregator: aggregator,
            namespace,
            status_set: BTreeSet::new(),
            fewest: 0,
            most: 0,
        };
        // The initial replicas are held until the window of 3 s is over. From then on, 4 are needed.
        rollout.drive(48).await;
        rollout.reset_range();
        assert_eq!(rollout.fewest, 4, "{}", rollout.namespace.describe());
        rollout
    }

    fn reset_range(&mut self) {
        self.fewest = self.namespace.replicas();
        self.most = self.fewest;
    }

    fn set_image(&self, image: &str) {
        let image = format!("torchserve={image}");
        self.namespace
            .kubectl(&["set", "image", "deployment/torchserve", &image]);
    }

    /// One step: sets the status of new pods, and records the replicas.
    async fn step(&mut self) -> Vec<Pod> {
        let pods = self.servers.pods();
        for pod in pods.iter().filter(|pod| !pod.ready) {
            if pod.image != BROKEN {
                self.namespace.set_pod_if_there(&pod.name, "Running", true);
            } else if self.status_set.insert(pod.uid.clone()) {
                self.namespace.set_pod_if_there(&pod.name, "Running", false);
            }
        }
        let size = self.namespace.replicas();
        self.fewest = self.fewest.min(size);
        self.most = self.most.max(size);
        tokio::time::sleep(Duration::from_millis(100)).await;
        pods
    }

    /// Continues until every sidecar has pushed this number of readings, which takes at least 250 ms for each.
    async fn drive(&mut self, readings: u64) {
        let end = self.servers.rounds() + readings;
        self.until("pushed", |rollout, _| rollout.servers.rounds() >= end)
            .await;
    }

    async fn until(&mut self, what: &str, so: impl Fn(&Self, &[Pod]) -> bool) {
        let start = Instant::now();
        loop {
            let pods = self.step().await;
            if so(self, &pods) {
                return;
            }
            assert!(
                start.elapsed() < 2 * TIMEOUT,
                "not {what}:\n{}",
                self.namespace.describe()
            );
        }
    }

    async fn until_all_are(&mut self, image: &str) {
        self.until(image, |rollout, pods| {
            let new = pods.iter().filter(|pod| pod.ready && pod.image == image);
            new.count() == pods.len() && pods.len() as u64 == rollout.namespace.replicas()
        })
        .await;
    }

    fn assert_stayed_within(&self, sizes: std::ops::RangeInclusive<u64>) {
        assert!(
            sizes.contains(&self.fewest) && sizes.contains(&self.most),
            "from {} to {} and not within {sizes:?}:\n{}",
            self.fewest,
            self.most,
            self.namespace.describe()
        );
    }
}

/// The model learns a moment late which pods are ready, and may take the change of the sum for a rise of the load.
fn steady(algorithm: Algorithm) -> std::ops::RangeInclusive<u64> {
    match algorithm {
        Algorithm::Ratio => 4..=4,
        Algorithm::Model => 4..=5,
    }
}

fn strategy(surge: &str, unavailable: &str) -> String {
    format!(
        r#"{{"spec":{{"strategy":{{"rollingUpdate":{{"maxSurge":"{surge}","maxUnavailable":"{unavailable}"}}}}}}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratio_keeps_the_replicas_during_a_full_surge() {
    test_surge(Algorithm::Ratio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_keeps_the_replicas_during_a_full_surge() {
    test_surge(Algorithm::Model).await;
}

async fn test_surge(algorithm: Algorithm) {
    let mut rollout = Rollout::start("surge", algorithm, &strategy("100%", "0%")).await;
    rollout.set_image("good");
    rollout.until_all_are("good").await;
    rollout.drive(20).await;
    rollout.assert_stayed_within(steady(algorithm));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratio_ignores_a_broken_rollout_and_still_sees_an_overload() {
    test_broken_image(Algorithm::Ratio, 8..=8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_ignores_a_broken_rollout_and_still_sees_an_overload() {
    // The backlog needs some more.
    test_broken_image(Algorithm::Model, 7..=12).await;
}

async fn test_broken_image(algorithm: Algorithm, twice: std::ops::RangeInclusive<u64>) {
    let mut rollout = Rollout::start("broken", algorithm, &strategy("100%", "0%")).await;
    rollout.set_image(BROKEN);
    rollout.drive(60).await;
    rollout.assert_stayed_within(steady(algorithm));
    // Twice the load, for the old version alone.
    rollout.servers.set_load(2.0 * LOAD);
    rollout
        .until("grown", |rollout, _| {
            rollout.namespace.replicas() >= *twice.start()
        })
        .await;
    // The measured rate still rises, and with it the replicas around the boundary of two sizes, until its window of
    // 20 s has only the new load.
    rollout.drive(80).await;
    rollout.reset_range();
    rollout.drive(60).await;
    rollout.assert_stayed_within(twice);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratio_does_not_scale_down_while_half_of_the_pods_are_replaced() {
    // A decision between two pushes combines the first reading of a new pod with older ones of a higher load: 4 * 4/3.
    let mut rollout = test_missing_pods(Algorithm::Ratio, 4..=6).await;
    rollout
        .until("back at 4", |rollout, _| rollout.namespace.replicas() == 4)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_does_not_scale_down_while_half_of_the_pods_are_replaced() {
    // The remaining pods are overloaded, and the backlog needs more pods.
    test_missing_pods(Algorithm::Model, 4..=12).await;
}

async fn test_missing_pods(
    algorithm: Algorithm,
    sizes: std::ops::RangeInclusive<u64>,
) -> Rollout<'static> {
    let mut rollout = Rollout::start("missing", algorithm, &strategy("0%", "50%")).await;
    rollout.set_image("good");
    rollout.until_all_are("good").await;
    rollout.assert_stayed_within(sizes);
    rollout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratio_scales_a_paused_rollout() {
    test_pause(Algorithm::Ratio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_scales_a_paused_rollout() {
    test_pause(Algorithm::Model).await;
}

async fn test_pause(algorithm: Algorithm) {
    let mut rollout = Rollout::start("paused", algorithm, &strategy("25%", "0%")).await;
    rollout.set_image("good");
    let both = |pods: &[Pod]| {
        let good = pods.iter().filter(|pod| pod.image == "good").count();
        good > 0 && good < pods.len()
    };
    rollout.until("begun", |_, pods| both(pods)).await;
    rollout
        .namespace
        .kubectl(&["rollout", "pause", "deployment/torchserve"]);
    rollout.drive(40).await;
    assert!(both(&rollout.servers.pods()), "both versions are there");
    rollout.assert_stayed_within(steady(algorithm));
    rollout.servers.set_load(2.0 * LOAD);
    rollout
        .until("grown", |rollout, pods| {
            rollout.namespace.replicas() >= 7 && pods.len() >= 7 && both(pods)
        })
        .await;
}
