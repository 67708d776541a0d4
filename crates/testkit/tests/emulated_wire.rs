//! Compares the emulated server's messages with those of the real one, byte by byte.

#![cfg(test)]

mod support;

use std::time::Duration;

use pushscale_testkit::MetricsMode;
use pushscale_testkit::emulated::{EmulatedServer, ModelOptions, ServerOptions};
use support::{Client, TIMEOUT, eventually, get, header, post};

fn quick() -> ServerOptions {
    let model = ModelOptions {
        service: Duration::from_millis(10),
        ..ModelOptions::default()
    };
    ServerOptions {
        models: vec![model],
        hostname: "torchserve-0".to_owned(),
        ..ServerOptions::default()
    }
}

async fn started(options: ServerOptions) -> EmulatedServer {
    let server = EmulatedServer::start(options).unwrap();
    tokio::time::timeout(TIMEOUT, server.ready()).await.unwrap();
    server
}

/// Each line without its value and, for a number among the labels, without that.
fn shape(page: &str) -> Vec<String> {
    let line = |line: &str| match line.rsplit_once("} ") {
        Some((labels, _)) => labels.to_owned(),
        None => line.to_owned(),
    };
    page.lines().map(line).collect()
}

#[tokio::test]
async fn the_metrics_page_has_the_lines_of_the_captured_one() {
    let server = started(quick()).await;
    let at = server.addresses();
    // The captured server had answered probes by then.
    get(at.inference, "/ping").await;
    let page = get(at.metrics, "/metrics").await.body;
    let captured = include_str!("../testdata/metrics-before-any-request.prom");
    assert_eq!(shape(&page), shape(captured));

    post(at.inference, "/predictions/sleepy", "{}").await;
    let page = get(at.metrics, "/metrics").await.body;
    let captured = include_str!("../testdata/metrics-after-1-request.prom");
    assert_eq!(shape(&page), shape(captured));

    server.set_metrics_mode(MetricsMode::Legacy);
    post(at.inference, "/predictions/sleepy/1.0", "{}").await;
    let page = get(at.metrics, "/metrics").await.body;
    let captured = include_str!("../testdata/metrics-legacy.prom");
    assert_eq!(shape(&page), shape(captured));

    server.set_metrics_mode(MetricsMode::Log);
    let empty = get(at.metrics, "/metrics").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_description_has_the_keys_of_the_captured_one_in_its_order() {
    let server = started(quick()).await;
    let keys = |json: &str| -> Vec<String> {
        let key = |line: &str| line.split_once(": ").map_or(line, |(k, _)| k).to_owned();
        json.lines().map(key).collect()
    };
    let captured = include_str!("../testdata/describe-model-queue-full.json");
    let described = get(server.addresses().management, "/models/sleepy/all").await;
    assert_eq!(keys(&described.body), keys(captured));
    assert_eq!(
        header(&described.head, "content-type"),
        Some("application/json")
    );
    let alone = get(server.addresses().management, "/models/sleepy").await;
    assert_eq!(alone.body, described.body);
}

#[tokio::test]
async fn several_models_and_versions_are_listed_like_in_the_captured_responses() {
    let model = |name: &str, version: &str| ModelOptions {
        name: name.to_owned(),
        version: version.to_owned(),
        ..quick().models.remove(0)
    };
    let server = started(ServerOptions {
        models: vec![
            model("alpha", "1.0"),
            model("alpha", "2.0"),
            model("beta", "1.0"),
        ],
        ..quick()
    })
    .await;
    let at = server.addresses();
    let list = get(at.management, "/models").await.body;
    assert_eq!(list, include_str!("../testdata/list-models.json"));
    let first = get(at.management, "/models?limit=1").await.body;
    assert!(
        first.starts_with("{\n  \"nextPageToken\": \"1\",\n"),
        "{first}"
    );
    let second = get(at.management, "/models?limit=1&next_page_token=1")
        .await
        .body;
    assert!(
        second.contains("beta") && !second.contains("alpha"),
        "{second}"
    );

    let versions = support::describe(at.management, "alpha").await;
    assert_eq!(versions.as_array().unwrap().len(), 2);
    assert_eq!(versions[1]["workers"][0]["id"], "9001");
    for path in [
        "/predictions/alpha",
        "/predictions/alpha/1.0",
        "/predictions/alpha/2.0",
    ] {
        assert_eq!(post(at.inference, path, "{}").await.status, 200);
    }
    let page = get(at.metrics, "/metrics").await.body;
    for version in ["default", "1.0", "2.0"] {
        let labels = format!("{{model_name=\"alpha\",model_version=\"{version}\",");
        assert!(
            page.contains(&format!("ts_inference_requests_total{labels}")),
            "{page}"
        );
    }
}

#[tokio::test]
async fn a_connection_stays_open_even_if_the_client_requests_its_end() {
    let server = started(quick()).await;
    for head in [
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /metrics HTTP/1.0\r\n\r\n",
        "POST /metrics/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = Client::connect(server.addresses().metrics).await;
        for _ in 0..2 {
            client.send(head).await;
            let response = client.response().await;
            assert!(response.head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(header(&response.head, "connection"), Some("keep-alive"));
            assert!(response.body.contains("# TYPE QueueTime gauge\n"));
        }
        assert!(client.is_silent(Duration::from_millis(100)).await);
    }
}

#[tokio::test]
async fn head_has_a_length_and_no_body_and_pipelined_responses_are_in_order() {
    let server = started(quick()).await;
    let mut client = Client::connect(server.addresses().metrics).await;
    client
        .send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let response = client.response_to_head().await;
    assert!(header(&response.head, "content-length").unwrap().len() >= 4);
    let all = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let none = "GET /metrics?name%5B%5D=nope HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(&[all, none].concat()).await;
    assert!(client.response().await.body.len() > 1000);
    assert_eq!(client.response().await.body, "");
}

#[tokio::test]
async fn responses_to_predictions_and_pings_are_those_of_the_real_server() {
    let server = started(quick()).await;
    let at = server.addresses();
    let response = post(at.inference, "/predictions/sleepy", "{}").await;
    assert!(
        response.head.starts_with("HTTP/1.1 200 \r\nx-request-id: "),
        "{}",
        response.head
    );
    assert_eq!(
        response.body,
        "{\n  \"model\": \"sleepy\",\n  \"version\": \"1.0\",\n  \"slept_ms\": 10.0,\n  \"batch\": 1\n}"
    );
    let response = get(at.inference, "/ping").await;
    assert_eq!(response.body, "{\n  \"status\": \"Healthy\"\n}\n");
}

#[tokio::test]
async fn errors_have_the_messages_of_the_real_server_and_reset_the_connection() {
    let server = started(quick()).await;
    let at = server.addresses();
    for (address, path, status, words) in [
        (
            at.inference,
            "/predictions/nope",
            404,
            "Model not found: nope",
        ),
        (
            at.inference,
            "/predictions/sleepy/9.0",
            404,
            "Model version: 9.0 does not exist for model: sleepy",
        ),
        (
            at.inference,
            "/models",
            404,
            "Requested resource is not found, please refer",
        ),
        (
            at.management,
            "/models/nope/all",
            404,
            "Model not found: nope",
        ),
        (
            at.management,
            "/",
            405,
            "Requested method is not allowed, please refer",
        ),
        (
            at.metrics,
            "/ping",
            404,
            "Requested resource is not found, please refer",
        ),
    ] {
        let mut client = Client::connect(address).await;
        client
            .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let response = client.response().await;
        assert_eq!(response.status, status, "{path}");
        assert!(response.body.contains(words), "{path}: {}", response.body);
        assert_eq!(header(&response.head, "connection"), Some("close"));
        assert_eq!(
            client.end().await,
            Some(std::io::ErrorKind::ConnectionReset)
        );
    }
    assert_eq!(
        support::sum(&get(at.metrics, "/metrics").await.body, "Requests4XX"),
        Some(6.0)
    );
}

#[tokio::test]
async fn a_full_queue_rejects_with_the_captured_response() {
    let mut options = quick();
    options.models[0].job_queue_size = 2;
    options.models[0].service = Duration::from_secs(60);
    let server = started(options).await;
    let at = server.addresses();
    let mut waiting = Vec::new();
    // One in flight, two in the queue.
    for expected in [0, 1, 2] {
        let mut client = Client::connect(at.inference).await;
        client.post("/predictions/sleepy", "{}").await;
        waiting.push(client);
        eventually("the request has arrived", || async {
            let page = get(at.metrics, "/metrics").await.body;
            let arrived = support::sum(&page, "ts_inference_requests_total");
            arrived == Some(expected as f64 + 1.0) && server.waiting("sleepy") == expected
        })
        .await;
    }
    let captured = include_str!("../testdata/queue-full-503.txt").replace("\r\n", "\n");
    let (head, body) = captured.split_once("\n\n").unwrap();
    let refused = post(at.inference, "/predictions/sleepy", "{}").await;
    assert_eq!(refused.body.trim_end(), body.trim_end());
    let fixed = |head: &str| -> Vec<String> {
        let lines = head
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with("x-request-id"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(fixed(&refused.head), fixed(head));
    let page = get(at.metrics, "/metrics").await.body;
    assert_eq!(support::sum(&page, "Requests5XX"), Some(1.0));
    assert_eq!(
        support::sum(&page, "ts_inference_requests_total"),
        Some(4.0)
    );
    let described = support::describe(at.management, "sleepy").await;
    assert_eq!(described[0]["jobQueueStatus"]["remainingCapacity"], 0);
}
