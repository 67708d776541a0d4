use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use hyper::header::HeaderValue;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

mod attack;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A connection whose requests all need a token.
static PLAIN: ConnectionToken = ConnectionToken::new(false);

/// Accepts tokens whose signature is `good`, and counts its reviews. Tokens whose signature is `slow` wait until `slow`
/// has permits, and are then denied.
struct FakeReviewer {
    reviews: AtomicUsize,
    /// The reviews before the last of a `good` token.
    before_good: AtomicUsize,
    slow: Semaphore,
}

impl FakeReviewer {
    fn reviews(&self) -> usize {
        self.reviews.load(Ordering::Relaxed)
    }

    fn reviews_before_good(&self) -> usize {
        self.before_good.load(Ordering::Relaxed)
    }
}

impl TokenReviewer for FakeReviewer {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodIdentity, ReviewError>> {
        let before = self.reviews.fetch_add(1, Ordering::Relaxed);
        if token.ends_with(".good") {
            self.before_good.store(before, Ordering::Relaxed);
        }
        Box::pin(async move {
            if token.ends_with(".slow") {
                self.slow.acquire().await.unwrap().forget();
            }
            if token.ends_with(".unanswered") {
                return Err(ReviewError::Failed("no route".to_owned()));
            }
            if !token.ends_with(".good") {
                return Err(ReviewError::Denied("signature".to_owned()));
            }
            Ok(PodIdentity {
                namespace: "models".to_owned(),
                name: "torchserve-0".to_owned(),
                uid: "u".into(),
            })
        })
    }
}

fn authenticator() -> (Authenticator, Arc<FakeReviewer>) {
    authenticator_with(512)
}

/// An authenticator of which an address may have this many of 12,000 connections. By default, these are 512.
fn authenticator_with(connections_per_address: usize) -> (Authenticator, Arc<FakeReviewer>) {
    let limits = Limits {
        connections: 12_000,
        connections_per_address,
        ..Limits::default()
    };
    let fake = Arc::new(FakeReviewer {
        reviews: AtomicUsize::new(0),
        before_good: AtomicUsize::new(0),
        slow: Semaphore::new(0),
    });
    let reviewer: Arc<dyn TokenReviewer> = fake.clone();
    let metrics = Metrics::register(&mut Registry::default());
    let authenticator = Authenticator::new(Some(reviewer), &limits, metrics);
    authenticator.pod_selected(&"u".into());
    for number in 0..PODS {
        authenticator.pod_selected(&uid(number).into());
    }
    (authenticator, fake)
}

/// Further pods that the control loop knows.
const PODS: u32 = 2048;

fn uid(pod: u32) -> String {
    format!("u{pod}")
}

/// Claims of one of the further pods.
fn claims_of(pod: u32, seconds_left: i64) -> Value {
    let mut claims = claims(json!("pushscale"), seconds_left);
    claims["kubernetes.io"]["pod"]["uid"] = json!(uid(pod));
    claims
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

fn token(claims: &Value, signature: &str) -> HeaderMap {
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    authorization(&format!("Bearer e30.{payload}.{signature}"))
}

fn authorization(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    headers
}

async fn error(authenticator: &Authenticator, headers: &HeaderMap) -> Option<AuthError> {
    authenticator
        .authenticate(headers, ADDRESS, &PLAIN)
        .await
        .err()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reviewed_once() {
    let (authenticator, reviewer) = authenticator();
    let good = token(&claims(json!(["pushscale"]), 3600), "good");
    let requests = (0..4).map(|_| authenticator.authenticate(&good, ADDRESS, &PLAIN));
    let all = futures_util::future::join_all(requests).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(matches!(
        authenticator.authenticate(&good, ADDRESS, &PLAIN).await,
        Ok(Caller::Pod { pod, remembered: false })
            if pod.identity.name == "torchserve-0" && pod.identity.namespace == "models"
    ));
    assert_eq!(reviewer.reviews(), 1);
}

#[tokio::test(start_paused = true)]
async fn invalid_claims_are_rejected_without_a_review() {
    let (authenticator, reviewer) = authenticator();
    let mut unbound = claims(json!("pushscale"), 3600);
    unbound["kubernetes.io"] = json!({ "namespace": "models" });
    for (headers, expected) in [
        (HeaderMap::new(), AuthError::TokenMissing),
        (authorization("Basic dTpw"), AuthError::TokenMissing),
        (
            authorization("Bearer nonsense"),
            AuthError::NotAServiceAccountToken,
        ),
        (
            authorization("Bearer a.b.c.d"),
            AuthError::NotAServiceAccountToken,
        ),
        (
            token(&json!({ "aud": 7 }), "good"),
            AuthError::NotAServiceAccountToken,
        ),
        (
            token(&claims(json!("vault"), 3600), "good"),
            AuthError::WrongAudience,
        ),
        (
            token(&claims(json!(["pushscale"]), -86_460), "good"),
            AuthError::Expired,
        ),
        (token(&unbound, "good"), AuthError::NotPodBound),
    ] {
        assert_eq!(error(&authenticator, &headers).await, Some(expected));
    }
    assert_eq!(reviewer.reviews(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_does_not_expire_the_tokens_of_pods() {
    let (authenticator, reviewer) = authenticator();
    // By this clock the token expired 23 hours ago, and by the API server's it has not.
    let good = token(&claims(json!("pushscale"), -23 * 3600), "good");
    for second in 0..120 {
        assert_eq!(error(&authenticator, &good).await, None, "{second}");
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(reviewer.reviews(), 2);
    let expired = token(&claims(json!("pushscale"), -1), "forged");
    for _ in 0..2 {
        let found = error(&authenticator, &expired).await;
        assert_eq!(found, Some(AuthError::Expired));
    }
    assert_eq!(reviewer.reviews(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_unknown_pod_is_reviewed_once_the_pod_is_known() {
    let (authenticator, reviewer) = authenticator();
    authenticator.pod_unselected(&"u".into());
    // More than an address may have reviews, and none counts as a denial.
    for forged in 0..50 {
        let headers = token(&claims(json!("pushscale"), 3600 + forged), "forged");
        let found = error(&authenticator, &headers).await;
        assert_eq!(found, Some(AuthError::UnknownPod));
    }
    let good = token(&claims(json!("pushscale"), 3600), "good");
    let found = error(&authenticator, &good).await;
    assert_eq!(found, Some(AuthError::UnknownPod));
    assert_eq!((reviewer.reviews(), cached(&authenticator)), (0, (0, 0)));
    authenticator.pod_selected(&"u".into());
    assert_eq!(error(&authenticator, &good).await, None);
    assert_eq!(reviewer.reviews(), 1);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_cause_at_most_ten_reviews_in_ten_seconds() {
    let (authenticator, reviewer) = authenticator();
    for forged in 0..50 {
        let headers = token(&claims(json!("pushscale"), 3600 + forged), "forged");
        let expected = if forged < 10 {
            AuthError::Denied
        } else {
            AuthError::TooManyReviews
        };
        let found = error(&authenticator, &headers).await;
        assert_eq!(found, Some(expected), "{forged}");
    }
    assert_eq!(reviewer.reviews(), 10);
    tokio::time::advance(Duration::from_secs(10)).await;
    let good = token(&claims(json!("pushscale"), 3600), "good");
    assert_eq!(error(&authenticator, &good).await, None);
}

#[tokio::test(start_paused = true)]
async fn tokens_whose_review_fails_are_not_cached() {
    let (authenticator, _) = authenticator();
    for forged in 0..50 {
        let headers = token(&claims(json!("pushscale"), 3600 + forged), "unanswered");
        let found = error(&authenticator, &headers).await;
        assert_eq!(found, Some(AuthError::ReviewUnavailable));
    }
    assert_eq!(cached(&authenticator), (0, 0));
}

/// Returns the numbers of reviewed tokens and of reviews in progress.
fn cached(authenticator: &Authenticator) -> (usize, usize) {
    authenticator.reviews.as_ref().unwrap().cache.len()
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

/// Sends a request and hangs up while the token is in review. Returns the response if it came before.
async fn hang_up(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    from: IpAddr,
) -> Option<AuthError> {
    tokio::select! {
        biased;
        result = authenticator.authenticate(headers, from, &PLAIN) => result.err(),
        () = tokio::task::yield_now() => None,
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_hang_up_neither_leak_entries_nor_exceed_the_limit() {
    let (authenticator, reviewer) = authenticator();
    let far_future = 3_000_000_000;
    for forged in 0..1000 {
        let headers = token(&claims(json!("pushscale"), far_future + forged), "slow");
        let found = hang_up(&authenticator, &headers, ADDRESS).await;
        let expected = (forged >= 10).then_some(AuthError::TooManyReviews);
        assert_eq!(found, expected, "{forged}");
    }
    assert_eq!(cached(&authenticator), (0, 10));
    reviewer.slow.add_permits(10);
    while cached(&authenticator).1 > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reviewer.reviews(), 10);
    // Denials are cached for a minute, whatever expiry the forged tokens claim. The next review sweeps them.
    assert_eq!(cached(&authenticator), (10, 0));
    tokio::time::advance(Duration::from_secs(61)).await;
    let good = token(&claims(json!("pushscale"), 3600), "good");
    assert_eq!(error(&authenticator, &good).await, None);
    assert_eq!(cached(&authenticator), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_in_parallel_cause_at_most_ten_reviews() {
    let (authenticator, reviewer) = authenticator();
    let forged: Vec<_> = (0..512)
        .map(|forged| token(&claims(json!("pushscale"), 3600 + forged), "forged"))
        .collect();
    let requests = forged.iter().map(|headers| error(&authenticator, headers));
    let errors = futures_util::future::join_all(requests).await;
    assert_eq!(reviewer.reviews(), 10);
    let denied = errors
        .iter()
        .filter(|error| **error == Some(AuthError::Denied));
    assert_eq!(denied.count(), 10);
}

#[tokio::test(start_paused = true)]
async fn unreviewed_tokens_of_many_addresses_do_not_displace_reviewed_ones() {
    let (authenticator, reviewer) = authenticator();
    let good = token(&claims(json!("pushscale"), 3600), "good");
    assert_eq!(error(&authenticator, &good).await, None);
    for number in 0..2000 {
        let headers = token(&claims_of(number, 3600), "slow");
        let found = hang_up(&authenticator, &headers, address(number)).await;
        let expected = (number >= 1024).then_some(AuthError::ReviewUnavailable);
        assert_eq!(found, expected, "{number}");
    }
    assert_eq!(cached(&authenticator), (1, 1024));
    // The API server sees 32 of them at a time.
    assert_eq!(reviewer.reviews(), 1 + 32);
    assert_eq!(error(&authenticator, &good).await, None);
}

#[tokio::test(start_paused = true)]
async fn pods_behind_a_nat_with_all_connections_are_reviewed_in_parallel() {
    for (connections, requests, reserved) in [(512, 1, 10), (3000, 8, 80), (12_000, 32, 320)] {
        let (authenticator, reviewer) = authenticator_with(connections);
        for pod in 0..PODS {
            hang_up(
                &authenticator,
                &token(&claims_of(pod, 3600), "slow"),
                ADDRESS,
            )
            .await;
        }
        assert_eq!(reviewer.reviews(), requests, "{connections}");
        assert_eq!(cached(&authenticator), (0, reserved), "{connections}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_more_pods_than_tracked_addresses_reviews_all_of_them() {
    let (authenticator, _) = authenticator();
    for number in 0..10_000 {
        let headers = token(
            &claims(json!("pushscale"), 3600 + i64::from(number)),
            "good",
        );
        let from = address(number);
        assert!(
            authenticator
                .authenticate(&headers, from, &PLAIN)
                .await
                .is_ok(),
            "{number}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn denials_of_many_addresses_do_not_shut_out_others() {
    let (authenticator, _) = authenticator();
    for number in 0..5000 {
        let headers = token(
            &claims(json!("pushscale"), 3600 + i64::from(number)),
            "forged",
        );
        let found = authenticator
            .authenticate(&headers, address(number), &PLAIN)
            .await
            .err();
        assert_eq!(found, Some(AuthError::Denied), "{number}");
    }
    let good = token(&claims(json!("pushscale"), 3600), "good");
    assert_eq!(error(&authenticator, &good).await, None);
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_leave_the_cache() {
    let (authenticator, reviewer) = authenticator();
    // A pod renews its token every 48 minutes. After a week it has had 210.
    for renewal in 0..210 {
        let headers = token(&claims(json!("pushscale"), 3600 + renewal), "good");
        assert_eq!(error(&authenticator, &headers).await, None);
        let (reviewed, _) = cached(&authenticator);
        assert!(reviewed <= 2, "{renewal}: {reviewed}");
        tokio::time::advance(Duration::from_secs(48 * 60)).await;
    }
    assert_eq!(reviewer.reviews(), 210);
}

#[tokio::test(start_paused = true)]
async fn the_reviewed_token_of_a_deleted_pod_is_rejected() {
    let (authenticator, reviewer) = authenticator();
    let good = token(&claims(json!("pushscale"), 3600), "good");
    assert_eq!(error(&authenticator, &good).await, None);
    authenticator.pod_unselected(&"u".into());
    let found = error(&authenticator, &good).await;
    assert_eq!(found, Some(AuthError::UnknownPod));
    // A pod that left a selector may return to it.
    authenticator.pod_selected(&"u".into());
    assert_eq!(error(&authenticator, &good).await, None);
    assert_eq!(reviewer.reviews(), 1);
}

#[tokio::test(start_paused = true)]
async fn responses_to_a_flood_are_delayed() {
    let (authenticator, _) = authenticator();
    let good = token(&claims(json!("pushscale"), 3600), "good");
    let start = Instant::now();
    let mut rejected = 0;
    for _ in 0..40 {
        if error(&authenticator, &good).await == Some(AuthError::RateLimited) {
            rejected += 1;
        }
    }
    assert!(rejected > 10, "{rejected}");
    assert!(start.elapsed() >= rate_limiter::INTERVAL * rejected);
}

#[tokio::test(start_paused = true)]
async fn a_tls_connection_sends_its_token_once() {
    let (authenticator, reviewer) = authenticator();
    let (connection, other) = (ConnectionToken::new(true), ConnectionToken::new(true));
    let (good, nothing) = (
        token(&claims(json!("pushscale"), 3600), "good"),
        HeaderMap::new(),
    );
    let authenticate = async |headers, connection| {
        // A pod may push every 50 ms.
        tokio::time::advance(rate_limiter::INTERVAL).await;
        authenticator
            .authenticate(headers, ADDRESS, connection)
            .await
    };
    let missing = authenticate(&nothing, &connection).await.err();
    assert_eq!(missing, Some(AuthError::TokenMissing));
    let first = authenticate(&good, &connection).await;
    assert!(matches!(
        first,
        Ok(Caller::Pod {
            remembered: true,
            ..
        })
    ));
    let next = authenticate(&nothing, &connection).await;
    assert!(
        matches!(next, Ok(Caller::Pod { pod, remembered: true }) if pod.identity.name == "torchserve-0")
    );
    // No other connection, and none without TLS, which a proxy may share between pods.
    let elsewhere = authenticate(&nothing, &other).await.err();
    assert_eq!(elsewhere, Some(AuthError::TokenMissing));
    let plain = authenticate(&good, &PLAIN).await;
    assert!(matches!(
        plain,
        Ok(Caller::Pod {
            remembered: false,
            ..
        })
    ));
    let plain = authenticate(&nothing, &PLAIN).await.err();
    assert_eq!(plain, Some(AuthError::TokenMissing));
    assert_eq!(reviewer.reviews(), 1);

    // A connection outlives neither its token nor its pod.
    authenticator.pod_unselected(&"u".into());
    let deleted = authenticate(&nothing, &connection).await.err();
    assert_eq!(deleted, Some(AuthError::UnknownPod));
    authenticator.pod_selected(&"u".into());
    assert!(authenticate(&good, &connection).await.is_ok());
    tokio::time::advance(Duration::from_secs(3600)).await;
    let expired = authenticate(&nothing, &connection).await.err();
    assert_eq!(expired, Some(AuthError::TokenMissing));
}

#[tokio::test(start_paused = true)]
async fn a_denied_token_is_not_remembered() {
    let (authenticator, _) = authenticator();
    let connection = ConnectionToken::new(true);
    let forged = token(&claims(json!("pushscale"), 3600), "forged");
    for (headers, expected) in [
        (forged, AuthError::Denied),
        (HeaderMap::new(), AuthError::TokenMissing),
    ] {
        let result = authenticator
            .authenticate(&headers, ADDRESS, &connection)
            .await;
        assert_eq!(result.err(), Some(expected));
    }
}
