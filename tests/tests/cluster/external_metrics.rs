//! The API server's aggregation layer and the real HPA controller read external metrics from an aggregator, with the
//! permissions and the APIService of the chart.

mod many_hpas;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushscale_tests::authority::Authority;
use pushscale_tests::charts::{Helm, objects};
use pushscale_tests::fake_pod::Load;
use pushscale_tests::fleet::until;
use pushscale_tests::http;
use pushscale_tests::namespace::{Aggregator, Certificates, Namespace, TIMEOUT, until_established};
use pushscale_tests::objects::{mount, route, secret};
use pushscale_tests::test_cluster::{Shape, TestCluster, skip_unless_ci};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::reporting_fleet::ReportingFleet;

const API: &str = "/apis/external.metrics.k8s.io/v1beta1";
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
const SERVICE: &str = "pushscale-external-metrics";
const SECRET: &str = "pushscale-external-metrics-tls";

const CERTIFICATES: [(&str, &str); 2] = [
    ("PUSHSCALE_CERTIFICATES_EXTERNAL_METRICS_SERVICE", SERVICE),
    ("PUSHSCALE_CERTIFICATES_API_SERVICE", API_SERVICE),
];

/// Returns an HPA that follows an external metric.
fn hpa(name: &str, metric: &str, target: &str) -> String {
    format!(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{ name: {name}, namespace: NAMESPACE }}
spec:
  scaleTargetRef: {{ apiVersion: apps/v1, kind: Deployment, name: torchserve }}
  minReplicas: 1
  maxReplicas: 5
  metrics:
    - type: External
      external: {{ metric: {{ name: {metric} }}, target: {{ {target} }} }}
"
    )
}

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: metrics, namespace: NAMESPACE }
rules:
  - { apiGroups: [external.metrics.k8s.io], resources: [torchserve-wait], verbs: [list] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: metrics, namespace: NAMESPACE }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: metrics }
subjects: [{ kind: User, name: reader }]
";

const RECOMMEND: &str = "  mode: Recommend\n  algorithm: Ratio\n";

/// Returns an address of this machine that an EndpointSlice may have; `None`, with a message, if it has only loopback.
pub(crate) fn host_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting sends nothing. It chooses the address of the default route.
    let address = match socket.connect("192.0.2.1:9") {
        Ok(()) => Some(socket.local_addr().unwrap().ip()),
        Err(_) => None,
    };
    let found = address.filter(|address| !address.is_loopback());
    assert!(
        found.is_some() || skip_unless_ci(&"this machine has no address besides loopback"),
        "an aggregated API needs another address than loopback"
    );
    found
}

/// A control plane with the chart's permissions, its APIService and its CRD, and a server for the APIService.
struct Setup {
    cluster: TestCluster,
    host: IpAddr,
}

impl Setup {
    fn start() -> Option<Self> {
        let host = host_address()?;
        let helm = Helm::for_test()?;
        let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
        cluster.api().create_namespace("pushscale").unwrap();
        let values = json!({ "externalMetrics": { "enabled": true } });
        let rendered = helm.template("pushscale", &values).unwrap();
        let kinds = [
            "CustomResourceDefinition",
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ClusterRole",
            "ClusterRoleBinding",
            "APIService",
        ];
        for mut object in objects(&rendered) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let is_service = object["kind"] == "Service" && name == SERVICE;
            if is_service {
                // The aggregator is a process and not a pod: `serve` adds its address.
                object["spec"].as_object_mut().unwrap().remove("selector");
            }
            if is_service || kinds.contains(&object["kind"].as_str().unwrap()) {
                cluster.api().apply(&object.to_string()).unwrap();
            }
        }
        until_established(&cluster);
        Some(Self { cluster, host })
    }

    /// Waits until the API server has taken over the discovery document and the OpenAPI of the metrics.
    fn until_discovered(&self) {
        let kubectl = |arguments: &[&str], expected: &str| {
            let found = self.cluster.kubectl(arguments);
            found.is_ok_and(|found| found.contains(expected))
        };
        let resources = ["api-resources", "--api-group=external.metrics.k8s.io"];
        until(TIMEOUT, "in kubectl api-resources", || {
            kubectl(&resources, "ts_queue_latency_microseconds")
        });
        until(TIMEOUT, "in the OpenAPI", || {
            kubectl(
                &["get", "--raw", "/openapi/v3"],
                "apis/external.metrics.k8s.io/v1beta1",
            )
        });
    }

    /// Starts an aggregator that serves external metrics once it has a certificate, and waits until the API server
    /// finds it available.
    async fn serve(&self, namespace: &Namespace<'_>) -> Aggregator {
        let directory = self.cluster.logs_dir().join(SECRET);
        std::fs::remove_dir_all(&directory).ok();
        let listen = format!("{}:0", self.host);
        let aggregator = Aggregator::start_with(
            namespace,
            &[
                ("PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS", "true"),
                ("PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS_LISTEN", &listen),
                (
                    "PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS_TLS_DIR",
                    directory.to_str().unwrap(),
                ),
                ("PUSHSCALE_AGGREGATOR_LEADER_ELECTION", "true"),
                ("PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE", "pushscale"),
                ("PUSHSCALE_AGGREGATOR_POD_NAME", "aggregator-0"),
            ],
        )
        .await;
        http::until(TIMEOUT, || aggregator.leads()).await;
        // The API server calls it as soon as it is ready.
        let ready = async || http::get(aggregator.admin, "/ready").await.status == 200;
        assert!(!ready().await, "ready without a certificate");
        assert_eq!(mount(&self.cluster, SECRET), directory);
        http::until(TIMEOUT, ready).await;
        let address = (self.host, aggregator.external_metrics().await.port());
        let service = ("pushscale", SERVICE);
        route(&self.cluster, service, "metrics-api", address.into());
        self.until_available("True").await;
        aggregator
    }

    async fn until_available(&self, expected: &str) {
        let start = Instant::now();
        loop {
            let service = self
                .cluster
                .api()
                .get("", "apiservice", API_SERVICE)
                .unwrap();
            let condition = Namespace::condition(&service, "Available");
            if condition.starts_with(&format!("{expected}/")) {
                return;
            }
            assert!(
                start.elapsed() < TIMEOUT,
                "the API is not {expected}: {condition}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Reads a path of the API through the API server.
    fn get(&self, path: &str) -> Result<Value, String> {
        let path = format!("{API}{path}");
        match self.cluster.api().get_path(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Reads a path directly, as this user, with this client certificate. Returns the status code and the body.
    async fn call(
        &self,
        server: SocketAddr,
        identity: Option<(String, String)>,
        user: &str,
        path: &str,
    ) -> (u16, String) {
        let ca = secret(&self.cluster, SECRET, "ca.crt");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nx-remote-user: {user}\r\nconnection: close\r\n\r\n"
        );
        tokio::task::spawn_blocking(move || talk(server, &ca, identity, &request))
            .await
            .unwrap()
    }

    /// Returns the certificate and the key of the API server's aggregation layer.
    fn front_proxy(&self) -> (String, String) {
        let read = |name: &str| std::fs::read_to_string(self.cluster.pki_dir().join(name)).unwrap();
        (
            read("front-proxy-client.crt"),
            read("front-proxy-client.key"),
        )
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(Result::unwrap)
        .collect()
}

fn talk(
    server: SocketAddr,
    ca: &str,
    identity: Option<(String, String)>,
    request: &str,
) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    for one in certificates(ca) {
        roots.add(one).unwrap();
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config
                .with_client_auth_cert(certificates(&certificate), key)
                .unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(format!("{SERVICE}.pushscale.svc")).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    if let Err(error) = stream.read_to_end(&mut response) {
        // The server need not close TLS before TCP.
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    }
    let response = String::from_utf8(response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response)
}

/// Returns a condition of an HPA, such as `False/FailedGetExternalMetric`.
fn hpa_condition(namespace: &Namespace<'_>, kind: &str) -> String {
    Namespace::condition(&namespace.get("hpa", "torchserve"), kind)
}

#[tokio::test]
async fn the_published_hpa_scales_up_and_down_and_keeps_its_size_without_readings() {
    let Some(setup) = Setup::start() else { return };
    let namespace = Namespace::create(&setup.cluster, "models");
    let _certificates = Certificates::start_with(&setup.cluster, &CERTIFICATES).await;
    let aggregator = setup.serve(&namespace).await;

    let list = setup.get("").unwrap();
    assert_eq!(
        list["resources"][0]["name"],
        "ts_queue_latency_microseconds"
    );
    setup.until_discovered();
    let value = "/namespaces/models/ts_queue_latency_microseconds";
    let error = setup.get(value).unwrap_err();
    assert!(
        error.contains("namespace models has no PushScaler"),
        "{error}"
    );
    let error = setup.get("/namespaces/models/nothing").unwrap_err();
    assert!(error.contains("NotFound"), "{error}");

    namespace.scaled_deployment(1, RECOMMEND).await;
    namespace.kubectl(&["label", "pushscaler", "torchserve", "team=vision"]);
    let fleet = ReportingFleet::push_to(&namespace, &aggregator);
    fleet.report(Some(0.014));
    fleet.until("measured", || setup.get(value).is_ok()).await;
    let item = setup.get(value).unwrap()["items"][0].clone();
    assert_eq!(item["value"], "14000");
    // Without the management port, a pod does not report its queue.
    let waiting = "/namespaces/models/torchserve-waiting";
    let error = setup.get(waiting).unwrap_err();
    assert!(
        error.contains("the number of waiting requests is unknown"),
        "{error}"
    );
    fleet.report_load(Some(Load::Rate(1.0)));
    fleet.until("counted", || setup.get(waiting).is_ok()).await;
    let item = setup.get(waiting).unwrap()["items"][0].clone();
    assert_eq!(item["metricName"], "torchserve-waiting");
    assert_eq!(item["value"], "0", "{item}");
    fleet.report(Some(0.014));
    fleet
        .until("as before", || {
            setup
                .get(value)
                .is_ok_and(|list| list["items"][0]["value"] == "14000")
        })
        .await;
    for (selector, selects) in [("team=vision", true), ("pushscaler!=torchserve", false)] {
        let found = setup.get(&format!("{value}?labelSelector={selector}"));
        assert_eq!(found.is_ok(), selects, "{selector}: {found:?}");
    }

    // The HPA controller has the permission by default.
    // The published one, in the API that is left of it.
    let metric = "ts_queue_latency_microseconds";
    namespace.apply(&hpa("torchserve", metric, "type: Value, value: 7000000m"));
    fleet.until("grown", || namespace.replicas() == 5).await;
    let line = "\"ts_queue_latency_microseconds\" (target value):  14k / 7k";
    let described = || namespace.kubectl(&["describe", "hpa", "torchserve"]);
    fleet.until(line, || described().contains(line)).await;

    // The published HPA waits for five minutes before it scales down.
    let patch = r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}"#;
    namespace.kubectl(&["patch", "hpa", "torchserve", "--type=merge", "-p", patch]);
    fleet.report(Some(0.0041));
    fleet.until("shrunk", || namespace.replicas() < 5).await;
    // At 7 ms the size is right.
    fleet.report(Some(0.007));
    let line = "(target value):  7k / 7k";
    fleet.until(line, || described().contains(line)).await;
    let size = namespace.replicas();

    fleet.report(None);
    let failed = "False/FailedGetExternalMetric";
    let condition = || hpa_condition(&namespace, "ScalingActive");
    fleet.until(failed, || condition() == failed).await;
    let error = setup.get(value).unwrap_err();
    assert!(
        error.contains("running pods report a queue latency"),
        "{error}"
    );
    assert_eq!(namespace.replicas(), size);

    // The HPA that follows the replicas that Pushscale computes.
    namespace.kubectl(&["delete", "hpa", "torchserve"]);
    let target = "type: AverageValue, averageValue: 1";
    namespace.apply(&hpa("following", "torchserve-desired", target));
    fleet.report(Some(0.014));
    fleet.until("followed", || namespace.replicas() == 5).await;
}

#[tokio::test]
async fn callers_are_authenticated_and_authorized_and_cas_rotate() {
    let Some(setup) = Setup::start() else { return };
    let namespace = Namespace::create(&setup.cluster, "models");
    let _certificates = Certificates::start_with(&setup.cluster, &CERTIFICATES).await;
    let aggregator = setup.serve(&namespace).await;
    namespace.scaled_deployment(1, RECOMMEND).await;
    let fleet = ReportingFleet::push_to(&namespace, &aggregator);
    fleet.report(Some(0.014));
    let path = "/namespaces/models/torchserve-wait";
    fleet.until("measured", || setup.get(path).is_ok()).await;

    // Through the API server: an account reads with a permission only, and both servers ask RBAC.
    let raw = format!("{API}{path}");
    let as_reader = |user: &str| {
        let user = format!("--as={user}");
        setup.cluster.kubectl(&["get", "--raw", &raw, &user])
    };
    let forbidden = as_reader("reader").unwrap_err().to_string();
    assert!(forbidden.contains("Forbidden"), "{forbidden}");
    namespace.apply(READER);
    fleet
        .until("permitted", || as_reader("reader").is_ok())
        .await;

    // Directly: the headers count with the certificate of the API server only.
    let server = aggregator.external_metrics().await;
    let proxy = || Some(setup.front_proxy());
    let (status, body) = setup.call(server, proxy(), "reader", &raw).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = setup.call(server, proxy(), "nobody", &raw).await;
    assert_eq!(status, 403, "{body}");
    let (status, body) = setup.call(server, None, "reader", &raw).await;
    assert_eq!(status, 401, "{body}");
    let (status, _) = setup.call(server, None, "", "/readyz").await;
    assert_eq!(status, 200);

    // A CA that the API server's configuration gets is trusted at once.
    let other = Authority::new("next");
    let identity = || Some(other.issue_client("front-proxy-client"));
    let (status, body) = setup.call(server, identity(), "reader", API).await;
    assert_eq!(status, 401, "{body}");
    let key = "requestheader-client-ca-file";
    let configmap = "extension-apiserver-authentication";
    let template = format!("-o=go-template={{{{index .data \"{key}\"}}}}");
    let arguments = [
        "-n",
        "kube-system",
        "get",
        "configmap",
        configmap,
        &template,
    ];
    let trusted = setup.cluster.kubectl(&arguments).unwrap();
    let data = json!({ "data": { key: format!("{trusted}{}", other.pem()) } }).to_string();
    let arguments = [
        "-n",
        "kube-system",
        "patch",
        "configmap",
        configmap,
        "-p",
        &data,
    ];
    setup.cluster.kubectl(&arguments).unwrap();
    let start = Instant::now();
    while setup.call(server, identity(), "reader", API).await.0 != 200 {
        assert!(start.elapsed() < TIMEOUT, "{}", aggregator.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // A new CA of ours is published next to the old one, and the API stays available.
    let delete = ["-n", "pushscale", "delete", "secret", "pushscale-ca"];
    setup.cluster.kubectl(&delete).unwrap();
    let bundle = "-o=go-template={{base64decode .spec.caBundle}}";
    let start = Instant::now();
    loop {
        let arguments = ["get", "apiservice", API_SERVICE, bundle];
        let found = setup.cluster.kubectl(&arguments).unwrap();
        if found.matches("BEGIN CERTIFICATE").count() == 2 {
            break;
        }
        assert!(start.elapsed() < TIMEOUT, "{found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    setup.get(path).unwrap();

    drop(fleet);

    // Without a server the API is unavailable, and back with the next one.
    drop(aggregator);
    setup.until_available("False").await;
    let _aggregator = setup.serve(&namespace).await;
}
