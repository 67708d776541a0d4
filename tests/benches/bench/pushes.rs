//! Pushes as sidecars send them, with tokens as a real API server issues them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use pushscale_aggregator::{PodIdentity, ReviewError, TokenReviewer};
use pushscale_protocol::Push;
use pushscale_tests::fake_cluster::{NAMESPACE, uid};
use serde_json::{Value, json};

/// The sequence number before the first push: all have ten digits, so that they can be written in place.
pub(crate) const FIRST: u64 = 1_000_000_000;

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

/// The pushes of a pod over one connection, with this interval in seconds: over TLS, only the first has its token.
pub(crate) struct Requests {
    pub(crate) first: Vec<u8>,
    pub(crate) next: Vec<u8>,
}

impl Requests {
    pub(crate) fn of(pod: &str, interval: f64) -> Self {
        let body = body(pod, interval);
        Self {
            first: request(&body, Some(&token(pod, LATE))),
            next: request(&body, None),
        }
    }
}

/// A push as a sidecar sends it.
pub(crate) fn request(body: &[u8], token: Option<&str>) -> Vec<u8> {
    let authorization = match token {
        Some(token) => format!("authorization: Bearer {token}\r\n"),
        None => String::new(),
    };
    let mut request = format!(
        "POST /v1/readings HTTP/1.1\r\ncontent-type: application/json\r\nhost: 127.0.0.1:8490\r\n\
         {authorization}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// An expiry after any benchmark, in Unix seconds.
pub(crate) const LATE: u64 = 4_000_000_000;

/// As long as a token of a real API server, which signs with RSA 2048.
pub(crate) fn token(pod: &str, expires: u64) -> String {
    let claims = json!({
        "aud": ["pushscale"],
        "exp": expires,
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
pub(crate) fn body(pod: &str, interval: f64) -> Vec<u8> {
    serde_json::to_vec(&push(pod, interval)).unwrap()
}

/// A push of one model, with the first sequence number.
pub(crate) fn push(pod: &str, interval: f64) -> Push<'static> {
    static TEXT: &[u8] = include_bytes!("../../../crates/protocol/testdata/overloaded-v1.json");
    let mut push = Push::parse(TEXT).unwrap();
    push.pod.namespace = NAMESPACE.into();
    push.pod.name = pod.to_owned().into();
    push.pod.uid = uid(pod).as_str().to_owned().into();
    push.sequence = FIRST;
    push.interval_seconds = interval;
    push
}
