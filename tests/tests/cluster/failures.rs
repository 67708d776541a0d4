//! The API server goes away and comes back, and readings keep coming.

use std::time::Duration;

use pushscale_tests::cluster::{Aggregator, Namespace, install};
use pushscale_tests::pushed::Says;
use pushscale_tests::rig::{Rig, Shape};

/// In a rig of its own: the others would not like their API server to stop.
#[tokio::test]
async fn an_api_server_that_stops_delays_the_write_and_nothing_is_lost() {
    let rig = Rig::start(Shape::ControlPlane).unwrap();
    install(&rig);
    let namespace = Namespace::create(&rig, "outage");
    let patient = "  metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n";
    namespace.scaled_deployment(1, patient).await;
    let aggregator = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(1).await;
    aggregator
        .hear_until(&mut voices, Says::Load(2.0), || async {
            aggregator
                .metrics()
                .await
                .contains("decisions_total{outcome=\"RightSize\"}")
        })
        .await;

    rig.pause("kube-apiserver").unwrap();
    for _ in 0..15 {
        let answer = voices[0].say(aggregator.push, Says::Load(25.0)).await;
        assert_eq!(
            answer.status, 200,
            "readings are taken all the same: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rig.resume("kube-apiserver").unwrap();
    aggregator
        .hear_until(&mut voices, Says::Load(25.0), || async {
            namespace.replicas() == 5
        })
        .await;
}
