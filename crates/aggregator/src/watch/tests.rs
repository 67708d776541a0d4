//! The watches against an API server whose responses are written here.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use pushscale_decision::Selector;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{Watches, run};
use crate::event::Event;
use crate::kube_scale::KubeScaleTarget;
use crate::metrics::Metrics;

/// Only a hang takes longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A response: the status and the body, or `None` to leave the request open, as a watch without events does.
type Response = Option<(u16, Value)>;

/// Returns a client of an API server that answers with `respond`, by path and query.
fn api_server(respond: impl Fn(&str, &str) -> Response + Send + Sync + 'static) -> Client {
    let service = tower::service_fn(respond_with::<Body>(Arc::new(respond)));
    Client::new(service, "models")
}

/// Returns the handler of requests that answers with `respond`.
fn respond_with<B>(
    respond: Arc<impl Fn(&str, &str) -> Response + Send + Sync + 'static>,
) -> impl Fn(Request<B>) -> BoxFuture<'static, Result<hyper::Response<Full<Bytes>>, Infallible>> {
    move |request| {
        let uri = request.uri();
        let response = respond(uri.path(), uri.query().unwrap_or_default());
        Box::pin(async move {
            let Some((status, body)) = response else {
                return std::future::pending().await;
            };
            let mut response = hyper::Response::new(Full::from(body.to_string()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(response)
        })
    }
}

/// Starts an API server behind a socket, and returns the programs' client of it, which must not hide a failure.
async fn api_server_behind_a_socket(
    respond: impl Fn(&str, &str) -> Response + Send + Sync + 'static,
) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let respond = Arc::new(respond);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service_fn(respond_with(Arc::clone(&respond)));
            let serve = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            tokio::spawn(serve);
        }
    });
    pushscale_kubernetes::client_with(kube::Config::new(url.parse().unwrap())).unwrap()
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(TIMEOUT, events.recv()).await.unwrap().unwrap()
}

/// Starts the watches of namespace `models` against this API server.
fn start(client: Client) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    start_with(client, &mut Registry::default())
}

fn start_with(client: Client, registry: &mut Registry) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    start_rereading(client, registry, Arc::default())
}

fn start_rereading(
    client: Client,
    registry: &mut Registry,
    reread: Arc<Notify>,
) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    let (events_tx, events) = mpsc::channel(16);
    let watches = Watches {
        scales: Arc::new(KubeScaleTarget::new(client.clone())),
        client,
        namespace: Some("models".to_owned()),
        metrics: Metrics::register(registry),
    };
    (events, tokio::spawn(run(watches, reread, events_tx)))
}

/// A list of objects, or a watch without events.
fn list(kind: &str, query: &str, items: &[Value]) -> Response {
    (!query.contains("watch=true")).then(|| {
        let list = json!({ "kind": kind, "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items });
        (200, list)
    })
}

/// The apps group as discovery shows it, one Deployment, and no pods.
fn deployments(path: &str, query: &str) -> Option<Response> {
    Some(match path {
        "/api/v1/namespaces/models/pods" => list("PodList", query, &[]),
        "/apis/apps/v1" => Some((
            200,
            json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
                    { "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment",
                      "verbs": ["get", "list", "watch"] },
                    { "name": "deployments/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
                      "version": "v1", "kind": "Scale", "verbs": ["get", "patch"] },
                ],
            }),
        )),
        "/apis/apps/v1/namespaces/models/deployments" => list(
            "PartialObjectMetadataList",
            query,
            &[
                json!({ "metadata": { "name": "torchserve", "namespace": "models", "uid": "d", "resourceVersion": "1" } }),
            ],
        ),
        _ => return None,
    })
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                         "message": message });
    (code, status)
}

/// The scale of the Deployment. The first read fails.
fn scale(reads: &AtomicUsize) -> Response {
    Some(if reads.fetch_add(1, Ordering::Relaxed) == 0 {
        failure(500, "InternalError", "etcdserver: leader changed")
    } else {
        let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1",
                            "metadata": { "name": "torchserve", "namespace": "models", "resourceVersion": "7" },
                            "spec": { "replicas": 3 }, "status": { "replicas": 3, "selector": "app=a" } });
        (200, scale)
    })
}

/// The response of an API server with a Deployment and its PushScaler.
fn one_scaler(path: &str, query: &str, reads: &AtomicUsize) -> Response {
    if let Some(response) = deployments(path, query) {
        return response;
    }
    match path {
        "/apis/apps/v1/namespaces/models/deployments/torchserve/scale" => scale(reads),
        _ if path.ends_with("/pushscalers") => list("PushScalerList", query, &[scaler("uid")]),
        _ => None,
    }
}

#[tokio::test]
async fn a_failed_read_of_the_scale_is_repeated_without_an_event() {
    let reads = AtomicUsize::new(0);
    let client = api_server(move |path, query| one_scaler(path, query, &reads));
    let (mut events, task) = start(client);
    let mut scales = Vec::new();
    while scales.last().is_none_or(Result::is_err) {
        if let Event::TargetRead { scale, .. } = next(&mut events).await {
            scales.push(scale);
        }
    }
    let error = scales[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("leader changed"), "{error}");
    assert_eq!(scales.last().unwrap().as_ref().unwrap().replicas, 3);
    task.abort();
}

fn scaler(uid: &str) -> Value {
    json!({
        "kind": "PushScaler", "apiVersion": "pushscale.dev/v1alpha1",
        "metadata": { "name": "torchserve", "namespace": "models", "uid": uid, "generation": 1, "resourceVersion": "1" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
            "maxReplicas": 3,
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_reads_the_statuses_that_its_watch_has_not_delivered() {
    let lists = AtomicUsize::new(0);
    let client = api_server(move |path, query| {
        if !path.ends_with("/pushscalers") || query.contains("watch=true") {
            return None;
        }
        let mut stored = scaler("uid");
        match lists.fetch_add(1, Ordering::Relaxed) {
            0 => {}
            1 => return Some(failure(500, "InternalError", "etcdserver: leader changed")),
            _ => {
                stored["status"] =
                    json!({ "reference": "Deployment/torchserve", "replicasBefore": 2 });
            }
        }
        list("PushScalerList", query, &[stored])
    });
    let reread = Arc::new(Notify::new());
    let (mut events, task) = start_rereading(client, &mut Registry::default(), Arc::clone(&reread));
    let promoted = loop {
        if let Event::ScalersListed(_) = next(&mut events).await {
            reread.notify_one();
            break Instant::now();
        }
    };
    loop {
        if let Event::StatusesRead { start, statuses } = next(&mut events).await {
            assert!(start >= promoted);
            let (key, status) = statuses.into_iter().next().unwrap();
            assert_eq!(key.to_string(), "models/torchserve");
            assert_eq!(status.replicas_before, Some(2));
            break;
        }
    }
    task.abort();
}

#[tokio::test]
async fn a_scaler_recreated_between_two_lists_is_watched_again() {
    let lists = AtomicUsize::new(0);
    let watches = AtomicUsize::new(0);
    let client = api_server(move |path, query| {
        if !path.ends_with("/pushscalers") {
            return None;
        }
        if query.contains("watch=true") {
            // The first watch has expired, as after a restart of the API server.
            let is_first = watches.fetch_add(1, Ordering::Relaxed) == 0;
            let expired = json!({ "type": "ERROR", "object": {
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old resource version",
            } });
            return is_first.then_some((200, expired));
        }
        let uid = if lists.fetch_add(1, Ordering::Relaxed) == 0 {
            "first"
        } else {
            "second"
        };
        list("PushScalerList", query, &[scaler(uid)])
    });
    let (mut events, task) = start(client);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Event::ScalerApplied(facts) = next(&mut events).await {
            seen.push((facts.uid.clone(), facts.watch.number));
        }
    }
    assert_eq!(seen, [("first".to_owned(), 1), ("second".to_owned(), 2)]);
    task.abort();
}

#[tokio::test]
async fn a_scaler_that_does_not_parse_does_not_hide_the_others() {
    let client = api_server(|path, query| {
        if !path.ends_with("/pushscalers") || query.contains("watch=true") {
            return None;
        }
        let mut unreadable = scaler("unreadable");
        unreadable["metadata"]["name"] = json!("unreadable");
        unreadable["spec"]["algorithm"] = json!("OfALaterRelease");
        let mut readable = scaler("readable");
        readable["status"] = json!({ "conditions": "of a later release" });
        list("PushScalerList", query, &[unreadable, readable])
    });
    let (mut events, task) = start(client);
    let mut policies = Vec::new();
    loop {
        match next(&mut events).await {
            Event::ScalerApplied(facts) => {
                policies.push((facts.target.name.clone(), facts.policy.clone()));
            }
            Event::ScalersListed(all) => {
                assert_eq!(all.len(), 2);
                break;
            }
            _ => {}
        }
    }
    let (target, problems) = &policies[0];
    assert_eq!(target, "torchserve");
    let problem = problems.as_ref().unwrap_err()[0].to_string();
    assert!(problem.contains("OfALaterRelease"), "{problem}");
    assert!(policies[1].1.is_ok());
    task.abort();
}

/// Returns a metric of the watch of pods.
fn pod_metric(registry: &Registry, name: &str) -> f64 {
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
    let series = format!("{name}{{kind=\"Pod\"}} ");
    let value = page.lines().find_map(|line| line.split(&series).nth(1));
    value.unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_repeated_less_and_less_often_and_the_metrics_show_it() {
    const LISTS: usize = 8;
    let lists = Arc::new(Mutex::new(Vec::new()));
    let listed = Arc::clone(&lists);
    let client = api_server_behind_a_socket(move |path, _| {
        path.ends_with("/pods").then(|| {
            listed.lock().push(Instant::now());
            failure(429, "TooManyRequests", "too many requests")
        })
    });
    let client = client.await;
    let mut registry = Registry::default();
    let (_events, task) = start_with(client, &mut registry);
    let start = Instant::now();
    let repeated = async {
        while lists.lock().len() < LISTS {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(10 * TIMEOUT, repeated).await.unwrap();
    assert!(pod_metric(&registry, "watch_restarts_total") >= 7.0);
    let idle = pod_metric(&registry, "watch_idle_seconds");
    assert!(
        idle >= (Instant::now() - start).as_secs_f64() - 1.0,
        "{idle}"
    );
    let lists = lists.lock();
    let mut delay = 0.8;
    for pair in lists.windows(2) {
        let pause = (pair[1] - pair[0]).as_secs_f64();
        assert!(pause >= delay, "{pause} {delay}");
        delay = f64::min(2.0 * delay, 30.0);
    }
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_without_an_end_is_a_failure() {
    let reads = AtomicUsize::new(1);
    let client = api_server(move |path, query| {
        if path.ends_with("/pods") {
            return None;
        }
        one_scaler(path, query, &reads)
    });
    let (mut events, task) = start(client);
    loop {
        if let Event::PodsUnknown { why, .. } = next(&mut events).await {
            let message = "the list took more than 60s".to_owned();
            assert_eq!(why, Selector::Unlisted { message });
            break;
        }
    }
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_watch_is_a_failure_until_it_is_allowed() {
    let forbidden = Arc::new(AtomicBool::new(true));
    let is_forbidden = Arc::clone(&forbidden);
    let reads = AtomicUsize::new(1);
    let client = api_server(move |path, query| {
        if path.ends_with("/pods")
            && query.contains("watch=true")
            && is_forbidden.load(Ordering::Relaxed)
        {
            return Some(failure(403, "Forbidden", "cannot watch pods"));
        }
        one_scaler(path, query, &reads)
    });
    let mut registry = Registry::default();
    let (mut events, task) = start_with(client, &mut registry);
    let start = Instant::now();
    loop {
        if let Event::PodsUnknown { why, .. } = next(&mut events).await {
            let message = "cannot watch pods".to_owned();
            assert_eq!(why, Selector::Unlisted { message });
            break;
        }
    }
    // The lists in between are no sign that changes are seen.
    while pod_metric(&registry, "watch_restarts_total") < 4.0 {
        timeout(Duration::from_millis(100), events.recv())
            .await
            .ok();
    }
    let idle = pod_metric(&registry, "watch_idle_seconds");
    assert!(idle >= start.elapsed().as_secs_f64() - 1.0, "{idle}");
    forbidden.store(false, Ordering::Relaxed);
    let mut are_listed = false;
    // Simulated time: nothing more happens.
    while let Ok(Some(event)) = timeout(TIMEOUT, events.recv()).await {
        match event {
            Event::PodsListed { .. } => are_listed = true,
            Event::PodsUnknown { .. } => are_listed = false,
            _ => {}
        }
    }
    assert!(are_listed);
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_resource_gets_another_name_is_looked_up_again() {
    const GROUP: &str = "/apis/example.com/v1";
    let renamed = Arc::new(AtomicBool::new(false));
    let listed = Arc::new(AtomicBool::new(false));
    let (is_renamed, is_listed) = (Arc::clone(&renamed), Arc::clone(&listed));
    let client = api_server(move |path, query| {
        let is_renamed = is_renamed.load(Ordering::Relaxed);
        let name = if is_renamed {
            "modelservers"
        } else {
            "servers"
        };
        if path == GROUP {
            let resource = json!({ "name": name, "singularName": "", "namespaced": true, "kind": "Server",
                                   "verbs": ["get", "list", "watch"] });
            let resources = json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1",
                                    "resources": [resource] });
            return Some((200, resources));
        }
        if path.ends_with("/pushscalers") {
            let mut scaler = scaler("uid");
            let target =
                json!({ "apiVersion": "example.com/v1", "kind": "Server", "name": "torchserve" });
            scaler["spec"]["scaleTargetRef"] = target;
            return list("PushScalerList", query, &[scaler]);
        }
        let path = path
            .strip_prefix(GROUP)?
            .strip_prefix("/namespaces/models/")?;
        let Some(path) = path.strip_prefix(name) else {
            // Not the API server's own error, which would name the object.
            return Some((404, json!("404 page not found")));
        };
        if path == "/torchserve/scale" {
            let replicas = if is_renamed { 2 } else { 1 };
            let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1",
                                "metadata": { "name": "torchserve", "namespace": "models", "resourceVersion": "7" },
                                "spec": { "replicas": replicas } });
            return Some((200, scale));
        }
        is_listed.fetch_or(is_renamed, Ordering::Relaxed);
        if query.contains("watch=true") && !is_renamed {
            let mut expired = failure(410, "Expired", "too old resource version").1;
            expired = json!({ "type": "ERROR", "object": expired });
            return Some((200, expired));
        }
        list("PartialObjectMetadataList", query, &[])
    });
    let (mut events, task) = start(client);
    let found = async {
        loop {
            let Event::TargetRead { scale, .. } = next(&mut events).await else {
                continue;
            };
            match scale.map(|scale| scale.replicas) {
                Ok(1) => renamed.store(true, Ordering::Relaxed),
                Ok(2) if listed.load(Ordering::Relaxed) => break,
                _ => {}
            }
        }
    };
    timeout(TIMEOUT, found).await.unwrap();
    task.abort();
}
