//! `pushscale-certificates` issues, publishes and renews certificates with the permissions of the chart, and an
//! aggregator serves them from its directory. Each test has its own cluster, since every namespace gets the one CA.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pushscale_daemon::tls::CaBundle;
use pushscale_tests::charts::Helm;
use pushscale_tests::http::sum;
use pushscale_tests::namespace::{
    Aggregator, Certificates, Namespace, TIMEOUT, install, permit_certificates,
};
use pushscale_tests::objects::{decode, mount, secret};
use pushscale_tests::test_cluster::{Shape, TestCluster};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use serde_json::Value;
use tokio::net::TcpStream;

const INJECTOR: [(&str, &str); 2] = [
    (
        "PUSHSCALE_CERTIFICATES_INJECTOR_SERVICE",
        "pushscale-injector",
    ),
    ("PUSHSCALE_CERTIFICATES_WEBHOOK", "pushscale-injector"),
];

const WEBHOOK: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: pushscale-injector }
webhooks:
  - name: namespace.inject.pushscale.dev
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    clientConfig: { service: { namespace: pushscale, name: pushscale-injector, path: /inject } }
  - name: object.inject.pushscale.dev
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    clientConfig: { service: { namespace: pushscale, name: pushscale-injector, path: /inject }, caBundle: bm9uZQ== }
";

/// Returns `None`, with a message, without a helm to render the permissions.
pub(crate) fn own_cluster() -> Option<TestCluster> {
    let helm = Helm::for_test()?;
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    install(&cluster);
    permit_certificates(&cluster, &helm);
    Some(cluster)
}

/// Reads Secrets, ConfigMaps and the webhook with kubectl.
struct View<'a>(&'a TestCluster);

impl View<'_> {
    fn read(&self, arguments: &[&str]) -> String {
        self.0.kubectl(arguments).unwrap()
    }

    fn secret(&self, name: &str, key: &str) -> String {
        secret(self.0, name, key)
    }

    /// Mounts the aggregator's Secret.
    fn mount(&self) -> PathBuf {
        mount(self.0, "pushscale-aggregator-tls")
    }

    /// Returns the CA that is published to a namespace, or an empty string.
    fn published(&self, namespace: &str) -> String {
        let all = self.0.api().objects(namespace, "configmap", "").unwrap();
        let is_ca = |it: &&Value| it["metadata"]["name"] == "pushscale-ca";
        let ca = all.iter().find(is_ca).map(|it| &it["data"]["ca.crt"]);
        ca.map_or_else(String::new, |ca| ca.as_str().unwrap().to_owned())
    }

    /// Returns the distinct `caBundle`s of the webhook.
    fn webhook(&self) -> BTreeSet<String> {
        let (kind, name) = ("mutatingwebhookconfiguration", "pushscale-injector");
        let webhook = self.0.api().get("", kind, name).unwrap();
        let webhooks = webhook["webhooks"].as_array().unwrap().iter();
        let bundle = |webhook: &Value| {
            let bundle = &webhook["clientConfig"]["caBundle"];
            if bundle.is_null() {
                String::new()
            } else {
                decode(bundle)
            }
        };
        webhooks.map(bundle).collect()
    }

    /// Returns all objects that Pushscale manages, as `namespace/kind/name`.
    fn managed(&self) -> Vec<String> {
        let template = "-o=go-template={{range .items}}{{.metadata.namespace}}/{{.kind}}/{{.metadata.name}}\n{{end}}";
        let label = "app.kubernetes.io/managed-by=pushscale";
        let text = self.read(&["get", "secrets,configmaps", "-A", "-l", label, template]);
        text.lines().map(str::to_owned).collect()
    }

    fn namespaces(&self) -> Vec<String> {
        let list: Value =
            serde_json::from_str(&self.read(&["get", "namespaces", "-o", "json"])).unwrap();
        let items = list["items"].as_array().unwrap();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    }

    /// Performs a handshake between a client that trusts this bundle and a server with this Secret.
    fn handshake(&self, bundle: &str, secret: &str, name: &str) -> Result<(), rustls::Error> {
        let certificate = self.secret(secret, "tls.crt");
        let key = self.secret(secret, "tls.key");
        handshake(bundle, &certificate, &key, name)
    }
}

/// Performs a TLS handshake in memory.
fn handshake(bundle: &str, certificate: &str, key: &str, name: &str) -> Result<(), rustls::Error> {
    let certificates = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(Result::unwrap)
            .collect()
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for one in certificates(bundle) {
        roots.add(one).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::clone(&ring))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            certificates(certificate),
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = Cursor::new(wire);
        while server.read_tls(&mut sent).unwrap() > 0 {
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = Cursor::new(wire);
        while client.read_tls(&mut sent).unwrap() > 0 {
            client.process_new_packets()?;
        }
    }
    Ok(())
}

/// Connects to an aggregator like a sidecar that trusts this bundle.
async fn connect(
    cluster: &TestCluster,
    bundle: &str,
    aggregator: &Aggregator,
) -> Result<(), String> {
    let path = cluster.logs_dir().join("ca.crt");
    std::fs::write(&path, bundle).unwrap();
    let stream = TcpStream::connect(aggregator.push).await.unwrap();
    let name = "pushscale-aggregator.pushscale.svc";
    let opened = CaBundle::from_file(path).open(name, stream).await;
    opened
        .map(|_stream| ())
        .map_err(|error| format!("{error}:\n{}", aggregator.log()))
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < TIMEOUT, "not within {TIMEOUT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the number of certificates that both have issued together.
async fn renewals(one: &Certificates, two: &Certificates) -> [(&'static str, u64); 3] {
    let pages = [one.metrics().await, two.metrics().await];
    ["ca", "aggregator", "injector"].map(|which| {
        let line = format!("pushscale_certificates_renewals_total{{certificate=\"{which}\"}}");
        (
            which,
            pages.iter().map(|page| sum::<u64>(page, &line)).sum(),
        )
    })
}

#[tokio::test]
async fn two_processes_publish_one_ca_to_every_namespace_and_an_uninstall_removes_it() {
    let Some(cluster) = own_cluster() else { return };
    let view = View(&cluster);
    let namespace = Namespace::create(&cluster, "models");
    let (one, two) = tokio::join!(
        Certificates::start_with(&cluster, &INJECTOR),
        Certificates::start_with(&cluster, &INJECTOR),
    );

    // A ready process has certificates in the Secrets. Only one of the two has issued each.
    let bundle = view.secret("pushscale-ca", "ca.crt");
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1, "{bundle}");
    let all = ["ca", "aggregator", "injector"];
    assert_eq!(renewals(&one, &two).await, all.map(|which| (which, 1)));
    let expiry = "pushscale_certificates_expiry_timestamp_seconds{certificate=\"aggregator\"}";
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = sum::<u64>(&one.metrics().await, expiry) - now.as_secs();
    assert!(
        (30 * 86_400 - 120..=30 * 86_400).contains(&seconds),
        "{seconds}"
    );

    // The certificates are valid for the names that sidecars and the API server use, and for no others.
    for (secret, service) in [
        ("pushscale-aggregator-tls", "pushscale-aggregator"),
        ("pushscale-injector-tls", "pushscale-injector"),
    ] {
        for suffix in [
            "",
            ".pushscale",
            ".pushscale.svc",
            ".pushscale.svc.cluster.local",
        ] {
            let name = format!("{service}{suffix}");
            view.handshake(&bundle, secret, &name).unwrap();
        }
        view.handshake(&bundle, secret, "elsewhere.pushscale.svc")
            .unwrap_err();
        let kind = view.read(&[
            "-n",
            "pushscale",
            "get",
            "secret",
            secret,
            "-o=jsonpath={.type}",
        ]);
        assert_eq!(kind, "kubernetes.io/tls");
    }

    // The aggregator serves what is mounted.
    let directory = view.mount();
    let files = [
        ("PUSHSCALE_AGGREGATOR_TLS_MODE", "files"),
        ("PUSHSCALE_AGGREGATOR_TLS_DIR", directory.to_str().unwrap()),
    ];
    let aggregator = Aggregator::start_with(&namespace, &files).await;
    connect(&cluster, &bundle, &aggregator).await.unwrap();

    // Every namespace has the CA, and a new one gets it.
    for namespace in view.namespaces() {
        until(&namespace, || view.published(&namespace) == bundle).await;
    }
    cluster
        .kubectl(&["create", "namespace", "newcomer"])
        .unwrap();
    until("a new namespace", || view.published("newcomer") == bundle).await;

    // A label opts out, and the CA is published once the label is removed. Namespaces get it in the order of their
    // creation.
    let label = |label: &str| {
        let arguments = ["label", "--overwrite", "namespace", "quiet", label];
        cluster.kubectl(&arguments).unwrap()
    };
    let quiet = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"quiet","labels":{"pushscale.dev/ca":"disabled"}}}"#;
    cluster.api().apply(quiet).unwrap();
    cluster.kubectl(&["create", "namespace", "later"]).unwrap();
    until("a later namespace", || view.published("later") == bundle).await;
    assert_eq!(view.published("quiet"), "");
    label("pushscale.dev/ca-");
    until("no label", || view.published("quiet") == bundle).await;
    label("pushscale.dev/ca=disabled");

    // Changes and deletions by others are reverted.
    let tamper = r#"{"data":{"ca.crt":"none"}}"#;
    let patch = [
        "patch",
        "configmap",
        "pushscale-ca",
        "--type=merge",
        "-p",
        tamper,
    ];
    namespace.kubectl(&patch);
    until("undone", || view.published("models") == bundle).await;
    namespace.kubectl(&["delete", "configmap", "pushscale-ca"]);
    until("made again", || view.published("models") == bundle).await;

    // The webhook is created later, and gets the CA in all its entries, repeatedly.
    cluster.api().apply(WEBHOOK).unwrap();
    let only = BTreeSet::from([bundle.clone()]);
    until("the webhook trusts the injector", || view.webhook() == only).await;
    cluster.api().apply(WEBHOOK).unwrap();
    until("the webhook trusts it again", || view.webhook() == only).await;

    // A deleted certificate is issued again by the same CA. A deleted CA stays trusted while its successor is
    // published.
    let pushscale = ["-n", "pushscale", "delete", "secret"];
    let first = view.secret("pushscale-aggregator-tls", "tls.crt");
    cluster
        .kubectl(&[&pushscale[..], &["pushscale-aggregator-tls"]].concat())
        .unwrap();
    until("another certificate", || {
        view.managed()
            .contains(&"pushscale/Secret/pushscale-aggregator-tls".to_owned())
            && view.secret("pushscale-aggregator-tls", "tls.crt") != first
    })
    .await;
    let name = "pushscale-aggregator.pushscale.svc";
    view.handshake(&bundle, "pushscale-aggregator-tls", name)
        .unwrap();
    cluster
        .kubectl(&[&pushscale[..], &["pushscale-ca"]].concat())
        .unwrap();
    until("both CAs are known", || {
        let published = view.published("newcomer");
        published.contains(&bundle) && published.len() > bundle.len()
    })
    .await;
    assert_eq!(view.published("quiet"), bundle);
    view.handshake(&bundle, "pushscale-aggregator-tls", name)
        .unwrap();
    // The aggregator uses a renewed certificate without a restart.
    view.mount();
    until("the renewed certificate is loaded", || {
        aggregator.log().matches("certificate loaded").count() == 2
    })
    .await;
    connect(&cluster, &bundle, &aggregator).await.unwrap();
    // Both saw each deletion at the same time, and one was faster.
    let expected = [("ca", 2), ("aggregator", 2), ("injector", 1)];
    assert_eq!(renewals(&one, &two).await, expected);
    let key = view.secret("pushscale-ca", "ca.key");
    for log in [one.log(), two.log()] {
        assert!(!log.contains("PRIVATE KEY"), "{log}");
        assert!(!log.contains(key.lines().nth(1).unwrap()), "{log}");
        assert!(!log.contains("forbidden"), "{log}");
    }

    // An uninstall deletes the objects of the chart. The garbage collector deletes the rest while both still run.
    assert!(view.managed().len() > view.namespaces().len());
    cluster
        .kubectl(&["delete", "clusterrole", "pushscale-certificates"])
        .unwrap();
    until("nothing is left", || view.managed().is_empty()).await;
    for process in [&one, &two] {
        until("both have stopped publishing", || {
            process.log().contains("publishing stopped")
        })
        .await;
    }
    drop((one, two));
    assert_eq!(view.managed(), Vec::<String>::new());
}

#[tokio::test]
async fn a_new_ca_is_published_everywhere_before_it_signs() {
    let Some(cluster) = own_cluster() else { return };
    let view = View(&cluster);
    cluster.api().apply(WEBHOOK).unwrap();
    Namespace::create(&cluster, "models");
    let short = [
        ("PUSHSCALE_CERTIFICATES_CA_LIFETIME", "30s"),
        ("PUSHSCALE_CERTIFICATES_CERTIFICATE_LIFETIME", "5s"),
        ("PUSHSCALE_CERTIFICATES_CA_GRACE", "4s"),
    ];
    let settings = [&INJECTOR[..], &short].concat();
    let certificates = Certificates::start_with(&cluster, &settings).await;
    let first = view.secret("pushscale-ca", "ca.crt");
    let name = "pushscale-aggregator.pushscale.svc";
    let start = Instant::now();
    let mut seen = vec![1];
    let mut webhooks = BTreeSet::new();
    // A certificate that was due anyway when the new CA began to sign was renewed for another reason: then the next CA.
    let signs = "the new CA is published everywhere and signs from now on";
    // The bundle that a sidecar read a moment ago must be enough for the current certificate.
    while !seen.ends_with(&[1, 2, 1]) || !certificates.log().contains(signs) {
        assert!(
            start.elapsed() < TIMEOUT,
            "{seen:?}: {}",
            certificates.log()
        );
        let known = view.published("models");
        let shown = view.secret("pushscale-aggregator-tls", "tls.crt");
        let key = view.secret("pushscale-aggregator-tls", "tls.key");
        // The pair may have been renewed between the two reads.
        if shown == view.secret("pushscale-aggregator-tls", "tls.crt") && !known.is_empty() {
            if let Err(error) = handshake(&known, &shown, &key, name) {
                // On a slow machine the bundle may be older than the grace period by now.
                assert_ne!(known, view.published("models"), "{error}");
                continue;
            }
            let count = known.matches("BEGIN CERTIFICATE").count();
            if seen.last() != Some(&count) {
                seen.push(count);
            }
        }
        webhooks.extend(view.webhook());
    }
    let last = view.secret("pushscale-ca", "ca.crt");
    assert!(!last.contains(&first), "the first CA is still trusted");
    let renewed = "pushscale_certificates_renewals_total{certificate=\"aggregator\"}";
    assert!(sum::<u64>(&certificates.metrics().await, renewed) > 4);
    until("the webhook follows", || view.webhook().contains(&last)).await;
    assert!(webhooks.contains(&first));
}
