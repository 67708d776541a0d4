//! From the sidecar to the aggregator over TLS: trusted and untrusted certificates, and their renewal.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use pushscale_aggregator::PushSecurity;
use pushscale_daemon::tls::ServerCertificate;
use pushscale_protocol::PUSH_PATH;
use pushscale_testkit::emulated::EmulatedServer;
use pushscale_tests::authority::Authority;
use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http;
use pushscale_tests::sidecar::TestSidecar;

use crate::support::{TIMEOUT, accepted, policy, server};

const LOCALHOST: &str = "127.0.0.1";

/// Starts an aggregator with this certificate, and with a known pod.
async fn cluster(certificate: &ServerCertificate) -> FakeCluster {
    let push_security = PushSecurity {
        certificate: Some(certificate.clone()),
        reviewer: None,
    };
    let mut cluster =
        FakeCluster::start_with_security((Ipv4Addr::LOCALHOST, 0).into(), push_security).await;
    cluster.apply(policy(), 1).await;
    cluster.add_pod("torchserve-0").await;
    cluster
}

async fn rejected(cluster: &FakeCluster, reason: &str) -> u64 {
    let metric = format!("pushscale_aggregator_rejected_connections_total{{reason=\"{reason}\"}}");
    http::sum(&http::get(cluster.admin, "/metrics").await.body, &metric)
}

/// Writes a file for one test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pushscale-{name}-{}.crt", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// Starts a sidecar for this server that trusts the CA file.
async fn trusting(ca: &Path, server: &EmulatedServer, cluster: &FakeCluster) -> TestSidecar {
    TestSidecar::start_with(
        "torchserve-0",
        &server.addresses(),
        &cluster.push.to_string(),
        &[("PUSHSCALE_SIDECAR_CA_FILE", ca.to_str().unwrap())],
    )
    .await
}

#[tokio::test]
async fn an_untrusted_aggregator_gets_no_reading_until_the_ca_file_changes() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let certificate = ServerCertificate::default();
    ours.certify(&certificate, LOCALHOST);
    let cluster = cluster(&certificate).await;
    let server = server().await;
    let ca = file("foreign-then-ours", &foreign.pem());
    let sidecar = trusting(&ca, &server, &cluster).await;
    http::until(TIMEOUT, || async {
        rejected(&cluster, "handshake_failed").await >= 2
    })
    .await;
    assert_eq!(accepted(&cluster).await, 0);

    // A rotation by the kubelet: the file changes, without a restart.
    std::fs::write(&ca, foreign.pem() + &ours.pem()).unwrap();
    http::until(TIMEOUT, || async { accepted(&cluster).await >= 2 }).await;
    sidecar.end().await;
    cluster.end().await;
    std::fs::remove_file(ca).unwrap();
}

#[tokio::test]
async fn the_sidecar_waits_for_a_missing_ca_file() {
    let ours = Authority::new("ours");
    let certificate = ServerCertificate::default();
    ours.certify(&certificate, LOCALHOST);
    let cluster = cluster(&certificate).await;
    let server = server().await;
    let ca = file("comes-late", "");
    std::fs::remove_file(&ca).unwrap();
    let sidecar = trusting(&ca, &server, &cluster).await;
    let failed = "pushscale_sidecar_pushes_total{outcome=\"unreachable\"}";
    http::until(TIMEOUT, || async {
        let metrics = http::get(sidecar.address, "/metrics").await.body;
        metrics.contains(failed)
    })
    .await;
    std::fs::write(&ca, ours.pem()).unwrap();
    http::until(TIMEOUT, || async { accepted(&cluster).await >= 1 }).await;
    sidecar.end().await;
    cluster.end().await;
    std::fs::remove_file(ca).unwrap();
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let ours = Authority::new("ours");
    let certificate = ServerCertificate::default();
    ours.certify(&certificate, "aggregator.elsewhere.svc");
    let cluster = cluster(&certificate).await;
    let server = server().await;
    let ca = file("other-name", &ours.pem());
    let sidecar = trusting(&ca, &server, &cluster).await;
    http::until(TIMEOUT, || async {
        rejected(&cluster, "handshake_failed").await >= 2
    })
    .await;
    assert_eq!(accepted(&cluster).await, 0);

    // The aggregator's certificate is renewed while it runs.
    ours.certify(&certificate, LOCALHOST);
    http::until(TIMEOUT, || async { accepted(&cluster).await >= 1 }).await;
    sidecar.end().await;
    cluster.end().await;
    std::fs::remove_file(ca).unwrap();
}

#[tokio::test]
async fn plain_http_gets_an_error_and_is_counted() {
    let certificate = ServerCertificate::default();
    Authority::new("ours").certify(&certificate, LOCALHOST);
    let cluster = cluster(&certificate).await;
    let answer = http::post(cluster.push, PUSH_PATH, b"{}").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("TLS required"), "{answer:?}");
    http::until(TIMEOUT, || async {
        rejected(&cluster, "plain_http").await == 1
    })
    .await;
    assert_eq!(accepted(&cluster).await, 0);
    cluster.end().await;
}
