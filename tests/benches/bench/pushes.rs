//! Pushes as sidecars send them, with tokens as a real API server issues them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use pushscale_aggregator::{PodIdentity, ReviewError, TokenReviewer};
use pushscale_protocol::Push;
use pushscale_tests::fake_cluster::{NAMESPACE, uid};
use serde_json::{Value, json};

/// The sequence number before the first push: all have ten digits, so that they can be written in place.
const FIRST: u64 = 1_000_000_000;

/// Accepts every token without checking its signature. The API server's own checks are not part of the measurement: it
/// is asked once per token.
pub(crate) struct AcceptAllTokens;

impl TokenReviewer for AcceptAllTokens {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<PodIdentity, ReviewError>> {
        let payload = token.split('.').nth(1).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let pod = &claims["kubernetes.io"]["pod"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reviewed = PodIdentity {
            namespace: text(&claims["kubernetes.io"]["namespace"]),
            name: text(&pod["name"]),
            uid: text(&pod["uid"]).into(),
        };
        Box::pin(std::future::ready(Ok(reviewed)))
    }
}

/// A push with a token as a sidecar sends it, with this interval in seconds.
pub(crate) fn request(pod: &str, interval: u32) -> Vec<u8> {
    let authorization = format!("authorization: Bearer {}\r\n", token(pod));
    http_request(&body(pod, interval), &authorization)
}

/// A push without a token.
pub(crate) fn request_without_token(pod: &str) -> Vec<u8> {
    http_request(&body(pod, 1), "")
}

fn http_request(body: &[u8], authorization: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/readings HTTP/1.1\r\ncontent-type: application/json\r\nhost: 127.0.0.1:8490\r\n\
         {authorization}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// As long as a token of a real API server, which signs with RSA 2048.
pub(crate) fn token(pod: &str) -> String {
    let claims = json!({
        "aud": ["pushscale"],
        "exp": 4_000_000_000_u64,
        "iat": 1_700_000_000_u64,
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "00000000-0000-4000-8000-000000000000",
        "kubernetes.io": {
            "namespace": NAMESPACE,
            "node": { "name": "node", "uid": "00000000-0000-4000-8000-000000000000" },
            "pod": { "name": pod, "uid": uid(pod).as_str() },
            "serviceaccount": { "name": "default", "uid": "00000000-0000-4000-8000-000000000000" },
        },
        "sub": format!("system:serviceaccount:{NAMESPACE}:default"),
    });
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = part(br#"{"alg":"RS256","kid":"0000000000000000000000000000000000000000000"}"#);
    format!(
        "{header}.{}.{}",
        part(claims.to_string().as_bytes()),
        part(&[7; 256])
    )
}

/// Writes the sequence number in place: the driver must not cost more than the server.
pub(crate) fn number(request: &mut [u8], sequence: usize) {
    let mark = b"\"sequence\":";
    let at = memchr::memmem::find(request, mark).unwrap() + mark.len();
    let digits = format!("{}", FIRST + sequence as u64);
    request[at..at + digits.len()].copy_from_slice(digits.as_bytes());
}

/// The body of a push, with a sequence number of ten digits.
pub(crate) fn body(pod: &str, interval: u32) -> Vec<u8> {
    let text = include_bytes!("../../../crates/protocol/testdata/overloaded-v1.json");
    let mut push = Push::parse(text).unwrap();
    push.pod.namespace = NAMESPACE.into();
    push.pod.name = pod.to_owned().into();
    push.pod.uid = uid(pod).as_str().to_owned().into();
    push.sequence = FIRST;
    push.interval_seconds = f64::from(interval);
    serde_json::to_vec(&push).unwrap()
}
