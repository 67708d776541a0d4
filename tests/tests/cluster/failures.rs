//! The API server goes away and comes back, and readings keep coming.

use std::time::Duration;

use pushscale_tests::cluster::{Aggregator, Namespace, install};
use pushscale_tests::rig::{Rig, Shape};

/// In a rig of its own: the others would not like their API server to stop.
#[tokio::test]
async fn an_api_server_that_stops_delays_the_write_and_nothing_is_lost() {
    let rig = Rig::start(Shape::ControlPlane).unwrap();
    install(&rig);
    let namespace = Namespace::create(&rig, "outage");
    namespace.deploy("Deployment", 1).await;
    namespace.scale("torchserve", "apps/v1", "Deployment", "torchserve", "");
    let aggregator = Aggregator::start(&namespace).await;
    let mut voices = namespace.run_pods(1).await;
    aggregator
        .hear_until(&mut voices, Some(0.007), || async {
            aggregator
                .metrics()
                .await
                .contains("decisions_total{outcome=\"RightSize\"}")
        })
        .await;

    rig.pause("kube-apiserver").unwrap();
    for _ in 0..15 {
        let answer = voices[0].say(aggregator.push, Some(1.2)).await;
        assert_eq!(
            answer.status, 200,
            "readings are taken all the same: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rig.resume("kube-apiserver").unwrap();
    aggregator
        .hear_until(&mut voices, Some(1.2), || async {
            namespace.get("deployment", "torchserve")["spec"]["replicas"] == 4
        })
        .await;
}
