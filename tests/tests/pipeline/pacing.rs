//! The aggregator asks for longer scrape intervals, and a sidecar follows.

use std::net::Ipv4Addr;

use pushscale_aggregator::PushSecurity;
use pushscale_tests::fake_cluster::{FakeCluster, uid};
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::bad_pushes::{PATH, push};
use crate::support::{TIMEOUT, policy, server};

#[tokio::test]
async fn a_sidecar_uses_the_interval_that_the_aggregator_requests() {
    let settings = [("PUSHSCALE_AGGREGATOR_MAX_PUSHES_PER_SECOND", "10")];
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let mut cluster =
        FakeCluster::start_with_settings(listen, PushSecurity::default(), &settings).await;
    cluster.apply(policy(), 1).await;
    let pods: Vec<_> = (0..40).map(|pod| format!("torchserve-{pod}")).collect();
    for pod in &pods {
        cluster.add_pod(pod).await;
    }
    let server = server().await;
    let aggregator = cluster.push.to_string();
    let sidecar =
        TestSidecar::start_with("torchserve-0", &server.addresses(), &aggregator, &[]).await;
    let interval = || async {
        let reading = http::get(sidecar.address, "/reading").await.body;
        let reading = serde_json::from_str::<serde_json::Value>(&reading);
        reading.map_or(0.0, |it| it["intervalSeconds"].as_f64().unwrap())
    };
    http::until(TIMEOUT, || async { interval().await > 0.0 }).await;
    assert!(interval().await < 1.0, "{} s", interval().await);
    // The other pods push without a pause, and more than one of them is too much.
    let mut sequence = 0;
    http::until(TIMEOUT, || {
        sequence += 1;
        let others = pods.iter().skip(1).map(|pod| {
            push(|push| {
                push.pod.name = pod.clone().into();
                push.pod.uid = uid(pod).as_str().to_owned().into();
                push.sequence = sequence;
                push.interval_seconds = 0.1;
            })
        });
        let others: Vec<_> = others.collect();
        let (address, interval) = (cluster.push, &interval);
        async move {
            for body in others {
                http::post(address, PATH, &body).await;
            }
            interval().await >= 1.0
        }
    })
    .await;
    sidecar.end().await;
    cluster.end().await;
}
