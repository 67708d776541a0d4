use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderValue;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::*;
use crate::scale_target::Pending;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Knows the tokens whose signature is `good`, and counts how often it was asked.
#[derive(Default)]
struct Scripted {
    asked: AtomicUsize,
}

impl TokenReviewer for Scripted {
    fn review<'a>(&'a self, token: &'a str) -> Pending<'a, Result<Reviewed, ReviewError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if token.ends_with(".unanswered") {
                return Err(ReviewError::Failed("no route".to_owned()));
            }
            if !token.ends_with(".good") {
                return Err(ReviewError::Denied("signature".to_owned()));
            }
            Ok(Reviewed {
                namespace: "models".to_owned(),
                pod_name: "torchserve-0".to_owned(),
                pod_uid: "u".to_owned(),
            })
        })
    }
}

fn gate() -> (Gate, Arc<Scripted>) {
    let scripted = Arc::new(Scripted::default());
    let reviewer: Arc<dyn TokenReviewer> = scripted.clone();
    let metrics = Metrics::register(&mut Registry::default());
    (Gate::new(Some(reviewer), metrics), scripted)
}

fn claims(audience: Value, seconds_left: i64) -> Value {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    json!({
        "aud": audience,
        "exp": i64::try_from(now.as_secs()).unwrap() + seconds_left,
        "kubernetes.io": { "namespace": "models", "pod": { "name": "torchserve-0", "uid": "u" } },
    })
}

fn with(claims: &Value, signature: &str) -> HeaderMap {
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    header(&format!("Bearer e30.{payload}.{signature}"))
}

fn header(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    headers
}

async fn turned(gate: &Gate, headers: &HeaderMap) -> Option<Turned> {
    gate.admit(headers, FROM).await.err()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reviewed_once() {
    let (gate, scripted) = gate();
    let good = with(&claims(json!(["pushscale"]), 3600), "good");
    let all = futures_util::future::join_all((0..4).map(|_| gate.admit(&good, FROM))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(matches!(
        gate.admit(&good, FROM).await,
        Ok(Caller::Pod(pod)) if pod.name == "torchserve-0" && &*pod.namespace == "models"
    ));
    assert_eq!(scripted.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_token_says_of_itself_can_be_refused_without_a_review() {
    let (gate, scripted) = gate();
    let mut unbound = claims(json!("pushscale"), 3600);
    unbound["kubernetes.io"] = json!({ "namespace": "models" });
    for (headers, expected) in [
        (HeaderMap::new(), Turned::NoToken),
        (header("Basic dTpw"), Turned::NoToken),
        (header("Bearer nonsense"), Turned::NoClaims),
        (header("Bearer a.b.c.d"), Turned::NoClaims),
        (with(&json!({ "aud": 7 }), "good"), Turned::NoClaims),
        (
            with(&claims(json!("vault"), 3600), "good"),
            Turned::OtherAudience,
        ),
        (
            with(&claims(json!(["pushscale"]), -1), "good"),
            Turned::Expired,
        ),
        (with(&unbound, "good"), Turned::NotOfAPod),
    ] {
        assert_eq!(turned(&gate, &headers).await, Some(expected));
    }
    assert_eq!(scripted.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_cost_the_api_server_ten_reviews_in_ten_seconds() {
    let (gate, scripted) = gate();
    for forged in 0..50 {
        let headers = with(&claims(json!("pushscale"), 3600 + forged), "forged");
        let expected = if forged < 10 {
            Turned::Denied
        } else {
            Turned::TooManyDenied
        };
        assert_eq!(turned(&gate, &headers).await, Some(expected), "{forged}");
    }
    assert_eq!(scripted.asked.load(Ordering::Relaxed), 10);
    tokio::time::advance(Duration::from_secs(10)).await;
    let good = with(&claims(json!("pushscale"), 3600), "good");
    assert!(gate.admit(&good, FROM).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_can_be_asked_about_fill_no_memory() {
    let (gate, _) = gate();
    for forged in 0..50 {
        let headers = with(&claims(json!("pushscale"), 3600 + forged), "unanswered");
        assert_eq!(turned(&gate, &headers).await, Some(Turned::NotReviewed));
    }
    assert_eq!(gate.remembered.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_pod() {
    let (gate, scripted) = gate();
    let good = with(&claims(json!("pushscale"), 3600), "good");
    assert!(gate.admit(&good, FROM).await.is_ok());
    let uid = PodUid::from("u");
    gate.pod_gone(&uid);
    for _ in 0..2 {
        assert_eq!(turned(&gate, &good).await, Some(Turned::GonePod));
    }
    assert_eq!(scripted.asked.load(Ordering::Relaxed), 1);
    gate.pod_seen(&uid);
    assert!(gate.admit(&good, FROM).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_flood_waits_for_each_of_its_answers() {
    let (gate, _) = gate();
    let good = with(&claims(json!("pushscale"), 3600), "good");
    let began = Instant::now();
    let mut refused = 0;
    for _ in 0..40 {
        if turned(&gate, &good).await == Some(Turned::TooFast) {
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    assert!(began.elapsed() >= pace::GAP * refused);
}
