//! Invalid pushes get a clear one-line error, are counted, and affect nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pushscale_protocol::Push;
use pushscale_tests::fake_cluster::{FakeCluster, NAMESPACE, uid};
use pushscale_tests::http::{self, Response};

use crate::support::{TIMEOUT, policy};

pub(crate) const PATH: &str = "/v1/readings";

async fn cluster() -> FakeCluster {
    let cluster = FakeCluster::start(policy(), 1).await;
    cluster.add_pod("torchserve-0").await;
    cluster.add_pod("torchserve-1").await;
    cluster
}

/// Returns a valid push of `torchserve-0`, changed by `change`.
pub(crate) fn push(change: impl FnOnce(&mut Push<'_>)) -> Vec<u8> {
    let body = include_bytes!("../../../crates/protocol/testdata/overloaded-v1.json");
    let mut push = Push::parse(body).unwrap();
    push.pod.namespace = NAMESPACE.into();
    push.pod.name = "torchserve-0".into();
    push.pod.uid = uid("torchserve-0").as_str().to_owned().into();
    change(&mut push);
    serde_json::to_vec(&push).unwrap()
}

fn assert_error(answer: &Response, status: u16, sentence: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(sentence), "{}", answer.body);
    assert_eq!(answer.body.lines().count(), 1, "one line: {}", answer.body);
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert!(json["error"].is_string(), "{}", answer.body);
}

async fn is_counted(cluster: &FakeCluster, outcome: &str) -> bool {
    let metrics = http::get(cluster.admin, "/metrics").await.body;
    metrics.contains(&format!("pushes_total{{outcome=\"{outcome}\"}} 1"))
}

#[tokio::test]
async fn every_invalid_push_has_its_own_error_and_outcome() {
    let cluster = cluster().await;
    let address = cluster.push;
    let post = |body: Vec<u8>| async move {
        // Pushes of a pod must be at least 50 ms apart.
        tokio::time::sleep(Duration::from_millis(60)).await;
        http::post(address, PATH, &body).await
    };

    assert_error(
        &post(b"queue=7".to_vec()).await,
        400,
        "invalid push message",
    );
    assert!(is_counted(&cluster, "invalid_body").await);

    assert_error(
        &post(br#"{"version":2}"#.to_vec()).await,
        400,
        "unsupported push version 2",
    );
    assert!(is_counted(&cluster, "unsupported_version").await);

    assert_error(
        &post(push(|push| {
            push.models[0].queue_latency_seconds = Some(-1.0)
        }))
        .await,
        400,
        "models[].queueLatencySeconds is -1",
    );
    assert!(is_counted(&cluster, "value_out_of_range").await);

    assert_error(
        &post(push(|push| push.pod.uid = "unknown".into())).await,
        404,
        "no PushScaler's target selects a pod with this uid",
    );
    assert!(is_counted(&cluster, "unknown_pod").await);

    assert_error(
        &post(push(|push| push.pod.name = "torchserve-1".into())).await,
        403,
        "the uid belongs to pod models/torchserve-0",
    );
    assert!(is_counted(&cluster, "pod_mismatch").await);

    assert_eq!(post(push(|_| {})).await.status, 200);
    assert!(is_counted(&cluster, "accepted").await);

    assert_error(
        &post(push(|_| {})).await,
        409,
        "reading 42 was received before",
    );
    assert!(is_counted(&cluster, "duplicate").await);

    assert_error(
        &post(push(|push| push.sequence = 41)).await,
        409,
        "reading 41 is older than reading 42",
    );
    assert!(is_counted(&cluster, "out_of_order").await);

    assert_error(
        &post(push(|push| {
            push.sequence = 43;
            push.clock_seconds += 3600.0;
        }))
        .await,
        409,
        "the sidecar's clock advanced by 3600.0 s",
    );
    assert!(is_counted(&cluster, "clock_skew").await);

    assert_error(&http::get(cluster.push, PATH).await, 405, "use POST");
    assert_error(
        &http::post(cluster.push, "/metrics", b"").await,
        404,
        "push readings to /v1/readings",
    );

    // After all this, valid readings of the pod are still accepted.
    let good = push(|push| {
        push.sequence = 44;
        push.clock_seconds += 1.0;
    });
    assert_eq!(post(good).await.status, 200);
    cluster.end().await;
}

#[tokio::test]
async fn a_pod_that_pushes_too_often_is_rate_limited_alone() {
    let cluster = cluster().await;
    let mut too_soon = 0;
    let mut sequence = 0;
    let began = Instant::now();
    // Several at once: one after the other, their distance would depend on the machine.
    while too_soon < 10 {
        assert!(began.elapsed() < TIMEOUT, "{too_soon} of {sequence}");
        let bodies = [(); 4].map(|()| {
            sequence += 1;
            push(|push| {
                push.sequence = sequence;
                push.clock_seconds = 1.0;
            })
        });
        let pushes = bodies
            .iter()
            .map(|body| http::post(cluster.push, PATH, body));
        for answer in join_all(pushes).await {
            match answer.status {
                // The four may arrive in another order.
                200 | 409 => {}
                429 => {
                    too_soon += 1;
                    assert_error(&answer, 429, "at most once every 50 ms");
                }
                other => panic!("{other}: {}", answer.body),
            }
        }
    }
    let other = push(|push| {
        push.pod.name = "torchserve-1".into();
        push.pod.uid = uid("torchserve-1").as_str().to_owned().into();
    });
    assert_eq!(http::post(cluster.push, PATH, &other).await.status, 200);
    cluster.end().await;
}

#[tokio::test]
async fn an_oversized_body_is_rejected_by_content_length_and_while_reading() {
    let cluster = cluster().await;
    let announced =
        "POST /v1/readings HTTP/1.1\r\nhost: test\r\ncontent-length: 1073741824\r\n\r\n{";
    assert_error(
        &http::raw(cluster.push, announced.as_bytes()).await,
        413,
        "the body is larger than 131072 bytes",
    );
    let mut chunked =
        b"POST /v1/readings HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(b"2000\r\n");
        chunked.resize(chunked.len() + 0x2000, b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    let answer = http::raw(cluster.push, &chunked).await;
    // The rest of the body is not read, so the response may be lost to a reset. The push is counted anyway.
    assert!(matches!(answer.status, 413 | 0), "{answer:?}");
    http::until(TIMEOUT, || async {
        let metrics = http::get(cluster.admin, "/metrics").await.body;
        metrics.contains("pushes_total{outcome=\"too_large\"} 2")
    })
    .await;
    cluster.end().await;
}

#[tokio::test]
async fn an_unfinished_body_times_out() {
    let cluster = cluster().await;
    let begun = "POST /v1/readings HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{";
    assert_error(
        &http::raw(cluster.push, begun.as_bytes()).await,
        408,
        "the body did not arrive within 5s",
    );
    assert!(is_counted(&cluster, "body_timeout").await);
    cluster.end().await;
}

#[tokio::test]
async fn pushes_are_rejected_until_the_scalers_are_listed() {
    let nowhere: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let mut cluster = FakeCluster::start_without_list(nowhere).await;
    assert_eq!(http::get(cluster.admin, "/live").await.status, 200);
    assert_eq!(http::get(cluster.admin, "/ready").await.status, 503);
    assert_error(
        &http::post(cluster.push, PATH, &push(|_| {})).await,
        503,
        "not ready",
    );
    cluster.apply(policy(), 1).await;
    cluster.add_pod("torchserve-0").await;
    let answer = http::post(cluster.push, PATH, &push(|_| {})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    cluster.end().await;
}

#[tokio::test]
async fn input_that_is_not_http_does_not_stop_the_aggregator() {
    let cluster = cluster().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        &[0xff; 20_000],
    ] {
        http::raw(cluster.push, garbage).await;
    }
    assert_eq!(http::get(cluster.admin, "/live").await.status, 200);
    assert_eq!(
        http::post(cluster.push, PATH, &push(|_| {})).await.status,
        200
    );
    cluster.end().await;
}
