//! Answers requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderMap};
use hyper::{Method, Request, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use pushscale_api::selector;
use pushscale_daemon::reply::{Reply, json, text};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::time::Instant;

use crate::access::Authorizer;
use crate::authentication::NewestRequestHeader;
use crate::documents::{Documents, GROUP, VERSION_PATH};
use crate::metric::{Metric, MetricError, Value, evaluate};
use crate::request_header::Caller;
use crate::status::ApiError;
use crate::store::Store;

/// Called for each request for a metric, with how long its response took and whether it has a value.
pub(crate) type OnResponse = Box<dyn Fn(Duration, bool) + Send + Sync>;

/// The API, without its transport.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) request_header: NewestRequestHeader,
    pub(crate) authorizer: Authorizer,
    pub(crate) documents: Documents,
    pub(crate) on_response: OnResponse,
}

impl Server {
    /// Responds to a request on a connection with this client certificate.
    pub(crate) async fn handle(
        self: Arc<Self>,
        chain: Arc<[CertificateDer<'static>]>,
        request: Request<Incoming>,
    ) -> Result<Reply, Infallible> {
        let (head, _body) = request.into_parts();
        let reply = self
            .respond(&head.method, &head.uri, &head.headers, &chain)
            .await;
        Ok(reply)
    }

    async fn respond(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        chain: &[CertificateDer<'_>],
    ) -> Reply {
        match self.try_respond(method, uri, headers, chain).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(path = uri.path(), %error, "request rejected");
                error.reply()
            }
        }
    }

    async fn try_respond(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        chain: &[CertificateDer<'_>],
    ) -> Result<Reply, ApiError> {
        if method != Method::GET && method != Method::HEAD {
            return Err(ApiError::Method);
        }
        match uri.path() {
            "/livez" => return Ok(text(StatusCode::OK, "ok")),
            "/readyz" | "/healthz" => {
                self.require_ready()?;
                return Ok(text(StatusCode::OK, "ok"));
            }
            _ => {}
        }
        let start = Instant::now();
        let caller = self.authenticate(chain, headers)?;
        let accept: Vec<&str> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        // These documents are public, so they need no authorization.
        if let Some(reply) = self.documents.reply(uri.path(), &accept.join(","), headers) {
            return Ok(reply);
        }
        let (namespace, metric) = metric_path(uri.path()).ok_or(ApiError::UnknownPath)?;
        let result = match self.authorizer.authorize(caller, &namespace, &metric).await {
            Ok(()) => self.metric(&namespace, &metric, uri.query().unwrap_or_default()),
            Err(error) => Err(error),
        };
        (self.on_response)(start.elapsed(), result.is_ok());
        result
    }

    fn require_ready(&self) -> Result<(), ApiError> {
        if self.request_header.borrow().is_none() {
            let what = "ConfigMap kube-system/extension-apiserver-authentication has not been read";
            return Err(ApiError::NotReady(what));
        }
        if !self.store.is_listed() {
            return Err(ApiError::NotReady("the PushScalers have not been listed"));
        }
        Ok(())
    }

    fn authenticate(
        &self,
        chain: &[CertificateDer<'_>],
        headers: &HeaderMap,
    ) -> Result<Caller, ApiError> {
        let config = self.request_header.borrow().clone();
        config
            .and_then(|config| config.authenticate(chain, headers))
            .ok_or(ApiError::Unauthenticated)
    }

    fn metric(&self, namespace: &str, name: &str, query: &str) -> Result<Reply, ApiError> {
        let metric = Metric::parse(name);
        let metric = metric.ok_or_else(|| MetricError::UnknownName(name.to_owned()))?;
        let selector = label_selector(query);
        let selector = selector::parse(&selector).map_err(ApiError::Selector)?;
        if !self.store.is_listed() {
            return Err(ApiError::NotReady("the PushScalers have not been listed"));
        }
        let value = self.store.with_namespace(namespace, |scalers| {
            evaluate(metric, name, namespace, &selector, scalers, Instant::now())
        })?;
        Ok(json(StatusCode::OK, value_list(name, &value)))
    }
}

/// Returns the list of one value. The HPA adds up several.
fn value_list(name: &str, value: &Value) -> String {
    let item = json!({
        "metricName": name,
        "metricLabels": value.labels,
        "timestamp": format!("{:.0}", value.timestamp),
        "value": value.quantity,
    });
    json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": format!("{GROUP}/v1beta1"),
        "metadata": {},
        "items": [item],
    })
    .to_string()
}

/// Parses `/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}`.
fn metric_path(path: &str) -> Option<(String, String)> {
    let rest = path.strip_prefix(VERSION_PATH)?;
    let (namespace, metric) = rest.strip_prefix("/namespaces/")?.split_once('/')?;
    let decode = |part: &str| {
        let decoded = percent_decode_str(part).decode_utf8().ok()?;
        (!decoded.is_empty()).then(|| decoded.into_owned())
    };
    if metric.contains('/') {
        return None;
    }
    Some((decode(namespace)?, decode(metric)?))
}

/// Returns the parameter `labelSelector`, or an empty one, which selects everything.
fn label_selector(query: &str) -> String {
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    let selector = parameters.find(|(key, _)| *key == "labelSelector");
    let selector = selector.map(|(_, value)| value.replace('+', " "));
    let selector = selector.unwrap_or_default();
    percent_decode_str(&selector)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http_body_util::BodyExt as _;
    use jiff::Timestamp;
    use parking_lot::Mutex;
    use pushscale_decision::FleetLoad;
    use serde_json::Value as Json;
    use tokio::sync::watch;

    use super::*;
    use crate::access::tests::FakeReviewer;
    use crate::request_header::RequestHeader;
    use crate::request_header::tests::TestCa;
    use crate::store::Sample;

    struct Fixture {
        server: Server,
        has_value: Arc<Mutex<Vec<bool>>>,
        ca: TestCa,
        request_header: watch::Sender<Option<Arc<RequestHeader>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let (request_header, receiver) = watch::channel(None);
            let has_value = Arc::new(Mutex::new(Vec::new()));
            let responses = Arc::clone(&has_value);
            let server = Server {
                store: Store::default(),
                request_header: receiver,
                authorizer: Authorizer::new(Arc::new(FakeReviewer::default())),
                documents: Documents::new(),
                on_response: Box::new(move |_, has_value| responses.lock().push(has_value)),
            };
            let ca = TestCa::new();
            Self {
                server,
                has_value,
                ca,
                request_header,
            }
        }

        fn trust(&self, ca: &TestCa) {
            let config = RequestHeader::parse(&ca.config("[]")).unwrap();
            self.request_header.send_replace(Some(Arc::new(config)));
        }

        fn ready() -> Self {
            let fixture = Self::new();
            fixture.trust(&fixture.ca);
            let store = &fixture.server.store;
            store.set_listed();
            store.apply("models", "a", BTreeMap::new(), "Deployment/a".to_owned());
            let sample = Sample {
                decided: Instant::now(),
                timestamp: Timestamp::from_second(1_800_000_000).unwrap(),
                desired: Ok(3),
                at_zero: false,
                load: FleetLoad {
                    reporting: 2,
                    running: 2,
                    total_wait: Duration::from_secs(14),
                    waiting: Some(5),
                },
            };
            store.record("models", "a", sample);
            fixture
        }

        async fn get_as(&self, user: &str, path: &str) -> (u16, String) {
            let chain = self.ca.sign("front-proxy-client");
            self.get_with(&chain, user, path).await
        }

        async fn get_with(
            &self,
            chain: &[CertificateDer<'_>],
            user: &str,
            path: &str,
        ) -> (u16, String) {
            let mut headers = HeaderMap::new();
            headers.insert("x-remote-user", user.parse().unwrap());
            let uri = path.parse().unwrap();
            let reply = self
                .server
                .respond(&Method::GET, &uri, &headers, chain)
                .await;
            let status = reply.status().as_u16();
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    const MODELS: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/models";

    #[tokio::test]
    async fn a_metric_is_a_list_of_one_value() {
        let fixture = Fixture::ready();
        let path =
            format!("{MODELS}/ts_queue_latency_microseconds?labelSelector=pushscaler+in+%28a%29");
        let (status, body) = fixture.get_as("jane", &path).await;
        assert_eq!(status, 200, "{body}");
        let found: Json = serde_json::from_str(&body).unwrap();
        let expected = json!({
            "kind": "ExternalMetricValueList",
            "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": [{
                "metricName": "ts_queue_latency_microseconds",
                "metricLabels": {},
                "timestamp": "2027-01-15T08:00:00Z",
                "value": "7000000",
            }],
        });
        assert_eq!(found, expected);
        let (_, body) = fixture.get_as("jane", &format!("{MODELS}/a-desired")).await;
        let found: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(
            found["items"][0]["metricLabels"],
            json!({ "pushscaler": "a" })
        );
        assert_eq!(found["items"][0]["value"], "3");
    }

    #[tokio::test]
    async fn errors_are_status_objects() {
        let fixture = Fixture::ready();
        for (user, path, code, reason) in [
            ("joe", format!("{MODELS}/a-desired"), 403, "Forbidden"),
            ("jane", format!("{MODELS}/b-desired"), 404, "NotFound"),
            ("jane", format!("{MODELS}/a"), 404, "NotFound"),
            ("jane", format!("{MODELS}/a-desired/x"), 404, "NotFound"),
            ("jane", MODELS.to_owned(), 404, "NotFound"),
            (
                "jane",
                format!("{MODELS}/a-wait?labelSelector=%2C%2C%3Dx"),
                400,
                "BadRequest",
            ),
            (
                "jane",
                format!("{MODELS}/a-wait?labelSelector=x%3Dy"),
                503,
                "ServiceUnavailable",
            ),
            (
                "unknown",
                format!("{MODELS}/a-wait"),
                503,
                "ServiceUnavailable",
            ),
        ] {
            let (status, body) = fixture.get_as(user, &path).await;
            let found: Json = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (status, found["reason"].as_str()),
                (code, Some(reason)),
                "{path}: {body}"
            );
            assert_eq!(found["kind"], "Status");
            assert_eq!(found["code"], code);
        }
        let uri: Uri = format!("{MODELS}/a-wait").parse().unwrap();
        let post = fixture
            .server
            .respond(&Method::POST, &uri, &HeaderMap::new(), &[])
            .await;
        assert_eq!(post.status(), 405);
    }

    #[tokio::test]
    async fn requests_for_metrics_are_counted_with_their_result() {
        let fixture = Fixture::ready();
        for (user, path) in [
            ("jane", format!("{MODELS}/a-desired")),
            ("joe", format!("{MODELS}/a-desired")),
            ("jane", format!("{MODELS}/b-desired")),
            ("jane", VERSION_PATH.to_owned()),
            ("jane", "/readyz".to_owned()),
        ] {
            fixture.get_as(user, &path).await;
        }
        assert_eq!(*fixture.has_value.lock(), [true, false, false]);
    }

    #[tokio::test]
    async fn discovery_needs_the_certificate_of_the_api_server_and_no_permission() {
        let fixture = Fixture::ready();
        for path in ["/apis", VERSION_PATH, "/openapi/v2"] {
            assert_eq!(fixture.get_as("joe", path).await.0, 200);
            let (status, body) = fixture.get_with(&[], "joe", path).await;
            assert_eq!(status, 401, "{body}");
        }
    }

    #[tokio::test]
    async fn a_rotated_ca_counts_at_once() {
        let fixture = Fixture::ready();
        let next = TestCa::new();
        let chain = next.sign("front-proxy-client");
        let path = format!("{MODELS}/a-wait");
        assert_eq!(fixture.get_with(&chain, "jane", &path).await.0, 401);
        fixture.trust(&next);
        assert_eq!(fixture.get_with(&chain, "jane", &path).await.0, 200);
        assert_eq!(fixture.get_as("jane", &path).await.0, 401);
    }

    #[tokio::test]
    async fn probes_need_no_certificate() {
        let fixture = Fixture::new();
        let code = async |path| fixture.get_with(&[], "", path).await.0;
        assert_eq!(code("/livez").await, 200);
        assert_eq!(code("/readyz").await, 503);
        fixture.trust(&fixture.ca);
        assert_eq!(code("/readyz").await, 503);
        fixture.server.store.set_listed();
        assert_eq!(code("/readyz").await, 200);
        assert_eq!(code("/healthz").await, 200);
        assert_eq!(code("/metrics").await, 401);
    }
}
