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
use pushscale_daemon::http_server::{self, Limits};
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::reply::{self, Reply};
use pushscale_daemon::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{scalers, targets};
use crate::event::{Event, WatchId};
use crate::kube_scale::KubeScaleTarget;
use crate::names::{ScalerKey, TargetRef};

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

fn key() -> ScalerKey {
    ScalerKey {
        namespace: "models".to_owned(),
        name: "torchserve".to_owned(),
    }
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(HANG, events.recv()).await.unwrap().unwrap()
}

/// The apps group as discovery shows it, and one Deployment whose watch has no events.
fn deployments(path: &str, query: &str) -> Option<Response> {
    Some(match path {
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
        "/apis/apps/v1/namespaces/models/deployments" if query.contains("watch=true") => None,
        "/apis/apps/v1/namespaces/models/deployments" => Some((
            200,
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": { "resourceVersion": "1" },
                "items": [{ "metadata": { "name": "torchserve", "namespace": "models", "uid": "d", "resourceVersion": "1" } }],
            }),
        )),
        _ => return None,
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
            "/apis/apps/v1/namespaces/models/deployments/torchserve/scale" => {
                Some(if reads.fetch_add(1, Ordering::Relaxed) == 0 {
                    (500, json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500,
                                  "reason": "InternalError", "message": "etcdserver: leader changed" }))
                } else {
                    (200, json!({ "kind": "Scale", "apiVersion": "autoscaling/v1",
                                  "metadata": { "name": "torchserve", "namespace": "models", "resourceVersion": "7" },
                                  "spec": { "replicas": 3 }, "status": { "replicas": 3 } }))
                })
            }
            _ => None,
        }
    })
    .await;
    let target = TargetRef {
        namespace: "models".to_owned(),
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "torchserve".to_owned(),
    };
    let watch = WatchId {
        scaler: key(),
        number: 1,
    };
    let (events_tx, mut events) = mpsc::channel(16);
    let scales = Arc::new(KubeScaleTarget::new(client.clone()));
    let task = tokio::spawn(targets::watch(client, scales, target, watch, events_tx));
    let Event::TargetRead { scale, .. } = next(&mut events).await else {
        panic!("the scale is read first");
    };
    let error = scale.unwrap_err().to_string();
    assert!(error.contains("leader changed"), "{error}");
    let Event::TargetRead { scale, .. } = next(&mut events).await else {
        panic!("the scale is read again");
    };
    assert_eq!(scale.unwrap().replicas, 3);
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
        Some((
            200,
            json!({ "kind": "PushScalerList", "apiVersion": "pushscale.dev/v1alpha1",
                           "metadata": { "resourceVersion": "1" }, "items": [scaler(uid)] }),
        ))
    })
    .await;
    let (events_tx, mut events) = mpsc::channel(16);
    let listed = Readiness::default().latch();
    let task = tokio::spawn(scalers::watch(client, None, events_tx, listed));
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
