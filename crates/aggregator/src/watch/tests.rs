//! The watches against an API server whose responses are written here.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use kube::Client;
use prometheus_client::registry::Registry;
use pushscale_daemon::http_server::{self, Limits};
use pushscale_daemon::reply::{self, Reply};
use pushscale_daemon::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Watches, run};
use crate::event::Event;
use crate::kube_scale::KubeScaleTarget;
use crate::metrics::Metrics;

/// Only a hang takes longer.
const HANG: Duration = Duration::from_secs(60);

/// A response: the status and the body, or `None` to leave the request open, as a watch without events does.
type Response = Option<(u16, Value)>;

/// Starts an API server that answers with `respond`, by path and query. It stops with the returned token.
async fn api_server(
    respond: impl Fn(&str, &str) -> Response + Send + Sync + 'static,
) -> (Client, Shutdown) {
    let bound = http_server::bind("fake", SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let bound = bound.await.unwrap();
    let uri = format!("http://{}", bound.address()).parse().unwrap();
    let respond = Arc::new(respond);
    let service = service_fn(move |request: Request<Incoming>| {
        let respond = Arc::clone(&respond);
        async move {
            let uri = request.uri();
            let response = respond(uri.path(), uri.query().unwrap_or_default());
            let Some((status, body)) = response else {
                return std::future::pending().await;
            };
            let status = StatusCode::from_u16(status).unwrap();
            Ok::<Reply, Infallible>(reply::json(status, body.to_string()))
        }
    });
    let shutdown = Shutdown::new();
    // Each open watch of the client has a connection.
    let limits = Limits {
        connections_per_address: 64,
        ..Limits::default()
    };
    tokio::spawn(bound.serve(limits, service, shutdown.clone()));
    let mut config = kube::Config::new(uri);
    config.default_namespace = "models".to_owned();
    (Client::try_from(config).unwrap(), shutdown)
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(HANG, events.recv()).await.unwrap().unwrap()
}

/// Starts the watches of namespace `models` against this API server.
fn start(client: Client) -> (mpsc::Receiver<Event>, JoinHandle<()>) {
    let (events_tx, events) = mpsc::channel(16);
    let watches = Watches {
        scales: Arc::new(KubeScaleTarget::new(client.clone())),
        client,
        namespace: Some("models".to_owned()),
        metrics: Metrics::register(&mut Registry::default()),
    };
    (
        events,
        tokio::spawn(run(watches, Arc::default(), events_tx)),
    )
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

/// The scale of the Deployment. The first read fails.
fn scale(reads: &AtomicUsize) -> Response {
    Some(if reads.fetch_add(1, Ordering::Relaxed) == 0 {
        let error = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
                            "reason": "InternalError", "message": "etcdserver: leader changed" });
        (500, error)
    } else {
        let scale = json!({ "kind": "Scale", "apiVersion": "autoscaling/v1",
                            "metadata": { "name": "torchserve", "namespace": "models", "resourceVersion": "7" },
                            "spec": { "replicas": 3 }, "status": { "replicas": 3, "selector": "app=a" } });
        (200, scale)
    })
}

#[tokio::test]
async fn a_failed_read_of_the_scale_is_repeated_without_an_event() {
    let reads = AtomicUsize::new(0);
    let (client, stop) = api_server(move |path, query| {
        if let Some(response) = deployments(path, query) {
            return response;
        }
        match path {
            "/apis/apps/v1/namespaces/models/deployments/torchserve/scale" => scale(&reads),
            _ if path.ends_with("/pushscalers") => list("PushScalerList", query, &[scaler("uid")]),
            _ => None,
        }
    })
    .await;
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
    stop.cancel();
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

#[tokio::test]
async fn a_scaler_recreated_between_two_lists_is_watched_again() {
    let lists = AtomicUsize::new(0);
    let watches = AtomicUsize::new(0);
    let (client, stop) = api_server(move |path, query| {
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
    })
    .await;
    let (mut events, task) = start(client);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Event::ScalerApplied(facts) = next(&mut events).await {
            seen.push((facts.uid, facts.watch.number));
        }
    }
    assert_eq!(seen, [("first".to_owned(), 1), ("second".to_owned(), 2)]);
    task.abort();
    stop.cancel();
}

#[tokio::test]
async fn a_scaler_that_does_not_parse_does_not_hide_the_others() {
    let (client, stop) = api_server(|path, query| {
        if !path.ends_with("/pushscalers") || query.contains("watch=true") {
            return None;
        }
        let mut unreadable = scaler("unreadable");
        unreadable["metadata"]["name"] = json!("unreadable");
        unreadable["spec"]["algorithm"] = json!("OfALaterRelease");
        let mut readable = scaler("readable");
        readable["status"] = json!({ "conditions": "of a later release" });
        list("PushScalerList", query, &[unreadable, readable])
    })
    .await;
    let (mut events, task) = start(client);
    let mut policies = Vec::new();
    loop {
        match next(&mut events).await {
            Event::ScalerApplied(facts) => policies.push((facts.target.name, facts.policy)),
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
    stop.cancel();
}
