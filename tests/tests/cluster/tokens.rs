//! Tokens that a real API server issues for pods, and reviews.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::http::{sum, until};
use pushscale_tests::namespace::{Aggregator, Namespace, TIMEOUT};
use serde_json::Value;

use crate::cluster;

const ASK_FOR_TOKENS: [(&str, &str); 1] = [("PUSHSCALE_AGGREGATOR_AUTH", "token")];

/// Creates two pods with a PushScaler, and an aggregator that knows them and requires tokens.
async fn two_pods(namespace: &Namespace<'_>) -> (Aggregator, FakePod, FakePod) {
    namespace.scaled_deployment(2, crate::RATIO).await;
    let aggregator = Aggregator::start_with(namespace, &ASK_FOR_TOKENS).await;
    let mut pods = namespace.run_pods(2).await;
    for pod in &mut pods {
        pod.token = Some(namespace.token(pod, "pushscale"));
        until_answered(pod, &aggregator, &[200]).await;
    }
    let [first, second] = <[FakePod; 2]>::try_from(pods).unwrap();
    (aggregator, first, second)
}

/// Pushes until the response has one of these statuses.
pub(crate) async fn until_answered(pod: &mut FakePod, aggregator: &Aggregator, statuses: &[u16]) {
    let start = Instant::now();
    loop {
        let answer = pod.push(aggregator.push, Load::QueueLatency(0.007)).await;
        if statuses.contains(&answer.status) {
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "not {statuses:?}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn assert_rejected(aggregator: &Aggregator, pod: &mut FakePod, status: u16, outcome: &str) {
    let answer = pod.push(aggregator.push, Load::QueueLatency(0.007)).await;
    assert_eq!(answer.status, status, "{answer:?}");
    let counted = format!("pushes_total{{outcome=\"{outcome}\"}}");
    let metrics = aggregator.metrics().await;
    assert!(metrics.contains(&counted), "{outcome}:\n{metrics}");
}

fn reviews(metrics: &str) -> u64 {
    sum(metrics, "pushscale_aggregator_token_reviews_total")
}

#[tokio::test]
async fn a_pod_authenticates_only_with_its_own_token() {
    let namespace = Namespace::create(cluster(), "tokens");
    let (aggregator, first, second) = two_pods(&namespace).await;
    assert_eq!(reviews(&aggregator.metrics().await), 2, "one a token");

    let good = first.token.clone();
    let mut without_token = first.clone();
    without_token.token = None;
    assert_rejected(&aggregator, &mut without_token, 401, "token_missing").await;

    let mut wrong_audience = first.clone();
    wrong_audience.token = Some(namespace.token(&first, "vault"));
    assert_rejected(&aggregator, &mut wrong_audience, 401, "wrong_audience").await;

    let mut unbound = first.clone();
    let account = ["create", "token", "default", "--audience=pushscale"];
    unbound.token = Some(namespace.kubectl(&account).trim().to_owned());
    assert_rejected(&aggregator, &mut unbound, 401, "token_not_pod_bound").await;

    let mut impostor = second.clone();
    impostor.token.clone_from(&good);
    assert_rejected(&aggregator, &mut impostor, 403, "pod_mismatch").await;

    let mut namesake = first.clone();
    namesake.uid.clone_from(&second.uid);
    assert_rejected(&aggregator, &mut namesake, 403, "pod_mismatch").await;

    for (change, status, outcome) in [
        ("exp", 401, "token_expired"),
        // The signature no longer matches. Only the API server can detect that.
        ("iat", 401, "token_denied"),
    ] {
        let mut forger = first.clone();
        forger.token = Some(altered(good.as_ref().unwrap(), change));
        assert_rejected(&aggregator, &mut forger, status, outcome).await;
    }

    let mut replayer = first.clone();
    let old = replayer.next_body(Load::QueueLatency(0.0));
    assert_eq!(
        replayer
            .push(aggregator.push, Load::QueueLatency(0.007))
            .await
            .status,
        200
    );
    until(TIMEOUT, || async {
        replayer.push_body(aggregator.push, &old).await.status == 409
    })
    .await;
    let metrics = aggregator.metrics().await;
    assert!(metrics.contains("outcome=\"out_of_order\""), "{metrics}");
}

/// Returns the token with a claim set to 1, a time long ago.
fn altered(token: &str, claim: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    claims[claim] = 1.into();
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{payload}.{}", parts[0], parts[2])
}

#[tokio::test]
async fn the_token_of_a_deleted_pod_is_rejected_before_and_after_an_aggregator_restart() {
    let namespace = Namespace::create(cluster(), "deleted-pod");
    let (aggregator, mut first, _) = two_pods(&namespace).await;
    namespace.kubectl(&["delete", "pod", &first.name, "--grace-period=0", "--force"]);
    until_answered(&mut first, &aggregator, &[404]).await;
    let metrics = aggregator.metrics().await;
    assert!(metrics.contains("outcome=\"unknown_pod\""), "{metrics}");
    assert_eq!(reviews(&metrics), 2, "no review was needed");

    // A new aggregator does not know the pod, and does not ask the API server about its token.
    drop(aggregator);
    let aggregator = Aggregator::start_with(&namespace, &ASK_FOR_TOKENS).await;
    until_answered(&mut first, &aggregator, &[404]).await;
}

#[tokio::test]
async fn a_flood_from_one_pod_does_not_affect_other_pods() {
    let namespace = Namespace::create(cluster(), "flood");
    let (aggregator, flooder, mut other) = two_pods(&namespace).await;
    let push = aggregator.push;
    let over = Arc::new(AtomicBool::new(false));
    let rejected = Arc::new(AtomicU32::new(0));
    let floods: Vec<_> = (0..32)
        .map(|_| {
            let mut pod = flooder.clone();
            let (over, rejected) = (Arc::clone(&over), Arc::clone(&rejected));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let answer = pod.push(push, Load::QueueLatency(0.007)).await;
                    rejected.fetch_add(u32::from(answer.status == 429), Ordering::Relaxed);
                }
            })
        })
        .collect();
    let start = Instant::now();
    let mut accepted = 0;
    while accepted < 20 || rejected.load(Ordering::Relaxed) < 20 {
        assert!(
            start.elapsed() < TIMEOUT,
            "{accepted} accepted, {rejected:?} rejected"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = other.push(push, Load::QueueLatency(0.007)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        accepted += 1;
    }
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.unwrap();
    }
}
