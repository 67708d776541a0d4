//! Two aggregators: one writes, and the other takes over without losing a decision.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::http::sum;
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use pushscale_tests::test_cluster::TestCluster;

use crate::cluster;

/// Far above the capacity of one pod, and below the rate that a pod's queue would reject.
const OVERLOAD: Load = Load::Rate(25.0);

/// How long a Lease is valid after it was renewed.
const LEASE_DURATION: Duration = Duration::from_secs(10);

/// The longest time from the last renewal of a killed leader to the next leader. Another candidate sees the renewal up
/// to 1.8 s later, waits for the end of the Lease, and tries again within 1.8 s: 14 s, and 15 s with the requests.
/// A busy test machine answers requests, and wakes programs, seconds later.
const TAKE_OVER: Duration = Duration::from_secs(15 + 15);

/// The aggregators of one Lease, with one Deployment. Other tests do not use the Lease.
struct Pair<'a> {
    namespace: Namespace<'a>,
    pods: Vec<FakePod>,
    replicas: u64,
}

impl<'a> Pair<'a> {
    async fn create(cluster: &'a TestCluster) -> Self {
        let namespace = Namespace::create(cluster, "leaders");
        let spec = "  maxReplicas: 2\n  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
        namespace.scaled_deployment(1, spec).await;
        let pods = namespace.run_pods(1).await;
        Self {
            namespace,
            pods,
            replicas: 1,
        }
    }

    async fn aggregator(&self, pod: &str) -> Aggregator {
        let settings = [
            ("PUSHSCALE_AGGREGATOR_LEADER_ELECTION", "true"),
            ("PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE", "pushscale"),
            ("PUSHSCALE_AGGREGATOR_POD_NAME", pod),
        ];
        Aggregator::start_with(&self.namespace, &settings).await
    }

    /// Pushes to all `aggregators` until `leader` leads. Returns how long that took.
    async fn until_leads(&mut self, leader: &Aggregator, aggregators: &[&Aggregator]) -> Duration {
        let start = Instant::now();
        while !leader.leads().await {
            assert!(start.elapsed() < TIMEOUT, "{}", leader.log());
            self.push(aggregators).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        start.elapsed()
    }

    async fn push(&mut self, aggregators: &[&Aggregator]) {
        for pod in &mut self.pods {
            for aggregator in aggregators {
                let answer = pod.push(aggregator.push, OVERLOAD).await;
                assert!(matches!(answer.status, 200 | 404), "{answer:?}");
            }
        }
        let replicas = self.namespace.replicas();
        assert!(replicas >= self.replicas, "{}", self.namespace.describe());
        self.replicas = replicas;
    }

    /// Raises the maximum, and pushes to all `aggregators` until it is reached.
    async fn scale_to(&mut self, max: u64, aggregators: &[&Aggregator]) {
        self.namespace
            .patch("torchserve", &format!("{{\"maxReplicas\":{max}}}"));
        let start = Instant::now();
        while self.replicas < max {
            assert!(start.elapsed() < TIMEOUT, "{}", self.namespace.describe());
            self.push(aggregators).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.pods = self.namespace.run_pods(usize::try_from(max).unwrap()).await;
        self.push(aggregators).await;
        let status = self.namespace.describe();
        assert!(!status.contains("SizeContested"), "{status}");
    }
}

/// The terms that the Lease records. All candidates of the test have the same clock.
struct Lease {
    acquired: Timestamp,
    renewed: Timestamp,
    transitions: i64,
}

impl Lease {
    fn read(pair: &Pair<'_>) -> Self {
        let cluster = pair.namespace.cluster;
        let lease = cluster
            .api()
            .get("pushscale", "lease", "pushscale-aggregator");
        let lease = lease.unwrap();
        let spec = &lease["spec"];
        let time = |field: &str| spec[field].as_str().unwrap().parse().unwrap();
        Self {
            acquired: time("acquireTime"),
            renewed: time("renewTime"),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        }
    }

    /// Returns how long after `from` it was acquired.
    fn acquired_after(&self, from: Timestamp) -> Duration {
        self.acquired.duration_since(from).unsigned_abs()
    }
}

async fn writes(aggregator: &Aggregator) -> u64 {
    let series = "pushscale_aggregator_scale_writes_total{outcome=\"written\"}";
    sum(&aggregator.metrics().await, series)
}

/// One test, because all parts need the same Lease.
#[tokio::test]
async fn one_of_two_aggregators_leads_and_the_other_takes_over() {
    let mut pair = Pair::create(cluster()).await;
    let mut first = pair.aggregator("first").await;
    pair.until_leads(&first, &[&first]).await;
    let second = pair.aggregator("second").await;
    pair.scale_to(2, &[&first, &second]).await;
    assert!(!second.leads().await);
    assert_eq!(writes(&second).await, 0);

    // A planned hand-over: the leader resigns, so that the other need not wait for the end of the Lease.
    let (start, before) = (Timestamp::now(), Lease::read(&pair));
    first.signal("TERM");
    let exit = first.exited().await;
    assert!(first.log().contains("resigned"), "{}", first.log());
    pair.until_leads(&second, &[&second]).await;
    let after = Lease::read(&pair);
    assert_eq!(after.transitions, before.transitions + 1);
    let took = after.acquired_after(start);
    println!("planned hand-over {took:?}, exit {exit:?}");
    // It did not wait for the Lease to expire.
    assert!(took < LEASE_DURATION, "{took:?}");
    pair.scale_to(3, &[&second]).await;

    // The leader's node dies.
    let third = pair.aggregator("third").await;
    pair.push(&[&second, &third]).await;
    second.signal("KILL");
    drop(second);
    let before = Lease::read(&pair);
    pair.until_leads(&third, &[&third]).await;
    let after = Lease::read(&pair);
    assert_eq!(after.transitions, before.transitions + 1);
    let took = after.acquired_after(before.renewed);
    println!("take-over after kill -9 {took:?}");
    // Not while the killed leader could have led.
    assert!(took >= LEASE_DURATION && took <= TAKE_OVER, "{took:?}");
    pair.scale_to(4, &[&third]).await;

    // The leader is paused past its term, and continues when another one leads.
    let fourth = pair.aggregator("fourth").await;
    pair.push(&[&third, &fourth]).await;
    let written = writes(&third).await;
    third.signal("STOP");
    pair.until_leads(&fourth, &[&fourth]).await;
    pair.scale_to(5, &[&fourth]).await;
    third.signal("CONT");
    let start = Instant::now();
    while third.leads().await || !third.log().contains("leader=\"fourth_") {
        assert!(start.elapsed() < TIMEOUT, "{}", third.log());
        pair.push(&[&third, &fourth]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pair.push(&[&third, &fourth]).await;
    assert_eq!(writes(&third).await, written, "{}", third.log());
    assert!(fourth.leads().await);
}
