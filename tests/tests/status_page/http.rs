//! What the pages answer, without a browser.

use std::net::Ipv4Addr;

use pushscale_tests::fake_cluster::FakeCluster;
use pushscale_tests::http::{get, raw, until};

use super::support::{Fleet, SCALER_PAGE, TIMEOUT, policy};

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_assets_have_a_strict_policy() {
    let fleet = Fleet::start().await;
    for path in ["/", SCALER_PAGE, "/status.css", "/status.js"] {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(fleet.cluster.admin)
            .await
            .unwrap();
        let mut answer = String::new();
        {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{path}: {head}");
        let policy = head
            .lines()
            .find_map(|line| line.strip_prefix("content-security-policy: "))
            .unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(
            !body.contains(" style=") && !body.contains("<style"),
            "{path}"
        );
        assert!(!body.contains(" onclick="), "{path}");
    }
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_scalers_and_other_methods_are_rejected() {
    let fleet = Fleet::start().await;
    for path in [
        "/scalers/models/other",
        "/scalers/models",
        "/scalers/models/torchserve/more",
        "/events/models/other",
        "/debug/scalers/models/other/history.json",
    ] {
        assert_eq!(fleet.get(path).await.status, 404, "{path}");
    }
    let post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(fleet.cluster.admin, post).await.status, 405);
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_available_as_json() {
    let mut fleet = Fleet::start().await;
    fleet.push_until(4.0, "arrivals: ").await;
    let path = "/debug/scalers/models/torchserve/history.json";
    let history = fleet.get(path).await.body;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    let point = history["points"].as_array().unwrap().last().unwrap();
    assert_eq!(point["replicas"], 2.0, "{point}");
    assert_eq!(point["readyPods"], 2.0, "{point}");
    assert!(point["requestsPerSecond"].is_number(), "{point}");
    let decision = &history["decisions"][0];
    assert!(decision["outcome"].is_string(), "{decision}");
    assert!(!decision["steps"].as_array().unwrap().is_empty());
    fleet.cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_text() {
    const HOSTILE: &str = "<img src=x onerror=\"alert(1)\">'&";
    let cluster = FakeCluster::start(policy(), 1).await;
    cluster.add_scaler(HOSTILE, &policy(), 1).await;
    cluster.add_pod(HOSTILE).await;
    // In the attributes of a row of the overview, and among the pods that do not report.
    for path in ["/", SCALER_PAGE] {
        until(TIMEOUT, || async {
            let page = get(cluster.admin, path).await.body;
            assert!(!page.contains("<img"), "{page}");
            page.contains("&#60;img src=x onerror=&#34;alert(1)&#34;&#62;&#39;&#38;")
        })
        .await;
    }
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_scaler_disappears() {
    let cluster = FakeCluster::start(policy(), 1).await;
    cluster.add_scaler("second", &policy(), 1).await;
    let shows = async || get(cluster.admin, "/").await.body.contains("models/second");
    until(TIMEOUT, &shows).await;
    cluster.remove_scaler("second").await;
    until(TIMEOUT, async || !shows().await).await;
    assert_eq!(
        get(cluster.admin, "/scalers/models/second").await.status,
        404
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_scalers_fit_on_a_page() {
    let cluster = FakeCluster::start_without_list((Ipv4Addr::LOCALHOST, 0).into()).await;
    let names: Vec<_> = (0..1000).map(|number| format!("scaler-{number}")).collect();
    cluster.apply_many(&names, &policy(), 1).await;
    until(TIMEOUT, || async {
        let page = get(cluster.admin, "/").await.body;
        // Without pods a row has no charts. Those of an hour add a kilobyte each.
        assert!(page.len() < 2 << 20, "{}", page.len());
        names
            .iter()
            .all(|name| page.contains(&format!("id=\"models/{name}\"")))
            && page.contains("1000 PushScalers")
    })
    .await;
    cluster.end().await;
}
