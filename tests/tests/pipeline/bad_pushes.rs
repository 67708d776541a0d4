//! Whatever is thrown at the push port: a clear answer on one line, counted, nothing lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pushscale_protocol::Push;
use pushscale_tests::fake_cluster::{FakeCluster, NAMESPACE, uid};
use pushscale_tests::http::{self, Answer};

use crate::support::{SOON, policy};

const PATH: &str = "/v1/readings";

async fn world() -> FakeCluster {
    let world = FakeCluster::start(policy(), 1).await;
    world.add_pod("torchserve-0").await;
    world.add_pod("torchserve-1").await;
    world
}

/// A good push of `torchserve-0`, changed by `change`.
fn push(change: impl FnOnce(&mut Push<'_>)) -> Vec<u8> {
    let body = include_bytes!("../../../crates/protocol/testdata/overloaded-v1.json");
    let mut push = Push::parse(body).unwrap();
    push.pod.namespace = NAMESPACE.into();
    push.pod.name = "torchserve-0".into();
    push.pod.uid = uid("torchserve-0").as_str().to_owned().into();
    change(&mut push);
    serde_json::to_vec(&push).unwrap()
}

fn says(answer: &Answer, status: u16, sentence: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.contains(sentence), "{}", answer.body);
    assert_eq!(answer.body.lines().count(), 1, "one line: {}", answer.body);
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert!(json["error"].is_string(), "{}", answer.body);
}

async fn counted(world: &FakeCluster, outcome: &str) -> bool {
    let metrics = http::get(world.admin, "/metrics").await.body;
    metrics.contains(&format!("readings_total{{outcome=\"{outcome}\"}} 1"))
}

#[tokio::test]
async fn every_invalid_push_has_its_own_error_and_outcome() {
    let world = world().await;
    let address = world.push;
    let post = |body: Vec<u8>| async move {
        // A pod's pushes are at least 50 ms apart.
        tokio::time::sleep(Duration::from_millis(60)).await;
        http::post(address, PATH, &body).await
    };

    says(
        &post(b"queue=7".to_vec()).await,
        400,
        "the body is not a push",
    );
    assert!(counted(&world, "invalid_body").await);

    says(
        &post(br#"{"version":2}"#.to_vec()).await,
        400,
        "push version 2 is not known here",
    );
    assert!(counted(&world, "unsupported_version").await);

    says(
        &post(push(|push| {
            push.models[0].queue_latency_seconds = Some(-1.0)
        }))
        .await,
        400,
        "models[].queueLatencySeconds is -1",
    );
    assert!(counted(&world, "value_out_of_range").await);

    says(
        &post(push(|push| push.pod.uid = "nobody".into())).await,
        404,
        "no PushScaler's target selects a pod with this uid",
    );
    assert!(counted(&world, "unknown_pod").await);

    says(
        &post(push(|push| push.pod.name = "torchserve-1".into())).await,
        403,
        "the uid belongs to pod models/torchserve-0",
    );
    assert!(counted(&world, "pod_mismatch").await);

    assert_eq!(post(push(|_| {})).await.status, 200);
    assert!(counted(&world, "accepted").await);

    says(
        &post(push(|_| {})).await,
        409,
        "reading 42 was received before",
    );
    assert!(counted(&world, "duplicate").await);

    says(
        &post(push(|push| push.sequence = 41)).await,
        409,
        "reading 41 is older than reading 42",
    );
    assert!(counted(&world, "out_of_order").await);

    says(
        &post(push(|push| {
            push.sequence = 43;
            push.clock_seconds += 3600.0;
        }))
        .await,
        409,
        "the sidecar's clock advanced by 3600.0 s",
    );
    assert!(counted(&world, "clock_skew").await);

    says(&http::get(world.push, PATH).await, 405, "use POST");
    says(
        &http::post(world.push, "/metrics", b"").await,
        404,
        "push readings to /v1/readings",
    );

    // After all this the pod's good readings count as ever.
    let good = push(|push| {
        push.sequence = 44;
        push.clock_seconds += 1.0;
    });
    assert_eq!(post(good).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn a_pod_that_pushes_too_often_is_rate_limited_alone() {
    let world = world().await;
    let mut too_soon = 0;
    let mut sequence = 0;
    let began = Instant::now();
    // Several at once: one after the other, their distance would depend on the machine.
    while too_soon < 10 {
        assert!(began.elapsed() < SOON, "{too_soon} of {sequence}");
        let bodies = [(); 4].map(|()| {
            sequence += 1;
            push(|push| {
                push.sequence = sequence;
                push.clock_seconds = 1.0;
            })
        });
        let pushes = bodies.iter().map(|body| http::post(world.push, PATH, body));
        for answer in join_all(pushes).await {
            match answer.status {
                // The four may arrive in another order.
                200 | 409 => {}
                429 => {
                    too_soon += 1;
                    says(&answer, 429, "at most once every 50 ms");
                }
                other => panic!("{other}: {}", answer.body),
            }
        }
    }
    let other = push(|push| {
        push.pod.name = "torchserve-1".into();
        push.pod.uid = uid("torchserve-1").as_str().to_owned().into();
    });
    assert_eq!(http::post(world.push, PATH, &other).await.status, 200);
    world.end().await;
}

#[tokio::test]
async fn an_oversized_body_is_rejected_by_content_length_and_while_reading() {
    let world = world().await;
    let announced =
        "POST /v1/readings HTTP/1.1\r\nhost: test\r\ncontent-length: 1073741824\r\n\r\n{";
    says(
        &http::raw(world.push, announced.as_bytes()).await,
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
    let answer = http::raw(world.push, &chunked).await;
    // The rest of the body is not read, so the answer may be lost to a reset; it is counted all the same.
    assert!(matches!(answer.status, 413 | 0), "{answer:?}");
    http::until(SOON, || async {
        let metrics = http::get(world.admin, "/metrics").await.body;
        metrics.contains("readings_total{outcome=\"too_large\"} 2")
    })
    .await;
    world.end().await;
}

#[tokio::test]
async fn an_unfinished_body_times_out() {
    let world = world().await;
    let begun = "POST /v1/readings HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{";
    says(
        &http::raw(world.push, begun.as_bytes()).await,
        408,
        "the body did not arrive within 5s",
    );
    assert!(counted(&world, "body_timeout").await);
    world.end().await;
}

#[tokio::test]
async fn pushes_are_rejected_until_the_scalers_are_listed() {
    let nowhere: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let mut world = FakeCluster::start_unlisted(nowhere).await;
    assert_eq!(http::get(world.admin, "/live").await.status, 200);
    assert_eq!(http::get(world.admin, "/ready").await.status, 503);
    says(
        &http::post(world.push, PATH, &push(|_| {})).await,
        503,
        "not ready",
    );
    world.apply(policy(), 1).await;
    world.add_pod("torchserve-0").await;
    let answer = http::post(world.push, PATH, &push(|_| {})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.end().await;
}

#[tokio::test]
async fn garbage_that_is_not_http_is_survived() {
    let world = world().await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        &[0xff; 20_000],
    ] {
        http::raw(world.push, garbage).await;
    }
    assert_eq!(http::get(world.admin, "/live").await.status, 200);
    assert_eq!(
        http::post(world.push, PATH, &push(|_| {})).await.status,
        200
    );
    world.end().await;
}
