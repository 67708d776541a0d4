//! The API server stops and returns while readings arrive.

use std::time::{Duration, Instant};

use pushscale_tests::fake_pod::Load;
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT, install};
use pushscale_tests::test_cluster::{Shape, TestCluster};

/// In its own cluster, since other tests need their API server.
#[tokio::test]
async fn an_api_server_outage_only_delays_the_write() {
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    install(&cluster);
    let namespace = Namespace::create(&cluster, "outage");
    let patient = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
    namespace.scaled_deployment(1, patient).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(2.0), || async {
            aggregator
                .metrics()
                .await
                .contains("decisions_total{outcome=\"right_size\"}")
        })
        .await;

    cluster.pause("kube-apiserver").unwrap();
    // Until the outage has a write to delay.
    let start = Instant::now();
    while !aggregator.log().contains(r#""outcome":"scale""#) {
        assert!(start.elapsed() < TIMEOUT, "{}", aggregator.log());
        let answer = pods[0].push(aggregator.push, Load::Rate(25.0)).await;
        assert_eq!(
            answer.status, 200,
            "readings are accepted during the outage: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.resume("kube-apiserver").unwrap();
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.replicas() == 5
        })
        .await;
}
