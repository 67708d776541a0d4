//! Calls over a socket, encoded as KEDA encodes them.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use jiff::Timestamp;
use prost::Message;
use pushscale_daemon::http_server;
use pushscale_decision::FleetLoad;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::messages::*;
use super::*;
use crate::store::Sample;

/// Code of gRPC.
const OK: &str = "0";
const INVALID_ARGUMENT: &str = "3";
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";

/// Only a hang takes this long.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn bind() -> Bound {
    let address = "127.0.0.1:0".parse().unwrap();
    http_server::bind("KEDA", address).await.unwrap()
}

async fn start(store: &Store) -> SendRequest<Full<Bytes>> {
    start_until(Shutdown::new(), store).await.0
}

/// Returns a client, the task of its connection, and that of the server.
async fn start_until(
    shutdown: Shutdown,
    store: &Store,
) -> (
    SendRequest<Full<Bytes>>,
    JoinHandle<hyper::Result<()>>,
    JoinHandle<()>,
) {
    let bound = bind().await;
    let stream = TcpStream::connect(bound.address()).await.unwrap();
    let server = tokio::spawn(serve(bound, store.clone(), shutdown));
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    (client, tokio::spawn(connection), server)
}

async fn send(
    client: &mut SendRequest<Full<Bytes>>,
    method: &str,
    message: &impl Message,
) -> hyper::Response<Incoming> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&message);
    let request = Request::post(format!(
        "http://test/externalscaler.ExternalScaler/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(Full::new(Bytes::from(body)))
    .unwrap();
    client.send_request(request).await.unwrap()
}

/// Returns the status of a call, and its response.
async fn call<T: Message + Default>(
    client: &mut SendRequest<Full<Bytes>>,
    method: &str,
    message: &impl Message,
) -> (String, T) {
    let response = send(client, method, message).await;
    let status = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let status = status.or_else(|| body.trailers()?.get("grpc-status").cloned());
    let bytes = body.to_bytes();
    let message = match bytes.get(5..) {
        Some(message) => T::decode(message).unwrap(),
        None => T::default(),
    };
    (status.unwrap().to_str().unwrap().to_owned(), message)
}

fn target(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let metadata = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    ScaledObjectRef {
        name: "torchserve".to_owned(),
        namespace: "models".to_owned(),
        scaler_metadata: metadata.collect::<HashMap<_, _>>(),
    }
}

fn store() -> Store {
    let store = Store::default();
    store.set_listed();
    store.apply("models", "a", BTreeMap::new(), "Deployment/a".to_owned());
    store
}

fn sample(desired: Result<u32, Arc<str>>) -> Sample {
    Sample {
        decided: Instant::now(),
        timestamp: Timestamp::UNIX_EPOCH,
        desired,
        at_zero: false,
        load: FleetLoad::default(),
    }
}

#[tokio::test]
async fn the_only_metric_is_the_number_of_desired_replicas() {
    let store = store();
    let mut client = start(&store).await;
    let a = target(&[("pushscaler", "a"), ("scalerAddress", "x:1")]);
    let (status, spec): (_, GetMetricSpecResponse) = call(&mut client, "GetMetricSpec", &a).await;
    assert_eq!(status, OK);
    let expected = MetricSpec {
        metric_name: "a-desired".to_owned(),
        target_size: 1,
        target_size_float: 1.0,
    };
    assert_eq!(spec.metric_specs, [expected]);
    let request = GetMetricsRequest {
        scaled_object_ref: Some(a.clone()),
        metric_name: "a-desired".to_owned(),
    };
    let (status, _): (_, GetMetricsResponse) = call(&mut client, "GetMetrics", &request).await;
    assert_eq!(status, UNAVAILABLE);
    store.record("models", "a", sample(Ok(7)));
    let (status, found): (_, GetMetricsResponse) = call(&mut client, "GetMetrics", &request).await;
    assert_eq!(status, OK);
    let expected = MetricValue {
        metric_name: "a-desired".to_owned(),
        metric_value: 7,
        metric_value_float: 7.0,
    };
    assert_eq!(found.metric_values, [expected]);
    let (status, active): (_, IsActiveResponse) = call(&mut client, "IsActive", &a).await;
    assert_eq!((status.as_str(), active.result), (OK, true));
    // An unknown value is no value, and no reason to scale a running target to zero or to start one.
    for at_zero in [false, true] {
        let unknown = Sample {
            at_zero,
            ..sample(Err(Arc::from("not enough data")))
        };
        store.record("models", "a", unknown);
        let (status, found): (_, GetMetricsResponse) =
            call(&mut client, "GetMetrics", &request).await;
        assert_eq!((status.as_str(), found.metric_values), (OK, Vec::new()));
        let (status, active): (_, IsActiveResponse) = call(&mut client, "IsActive", &a).await;
        assert_eq!((status.as_str(), active.result), (OK, !at_zero));
    }
}

#[tokio::test]
async fn a_trigger_must_name_a_pushscaler() {
    let mut client = start(&store()).await;
    for metadata in [target(&[]), target(&[("pushscaler", "")])] {
        for method in [
            "IsActive",
            "StreamIsActive",
            "GetMetricSpec",
            "StreamMetricSpec",
        ] {
            let (status, _): (_, IsActiveResponse) = call(&mut client, method, &metadata).await;
            assert_eq!(status, INVALID_ARGUMENT, "{method}");
        }
    }
}

#[tokio::test]
async fn a_method_of_a_later_version_is_unimplemented() {
    let mut client = start(&store()).await;
    let a = target(&[("pushscaler", "a")]);
    let (status, _): (_, IsActiveResponse) = call(&mut client, "Unknown", &a).await;
    assert_eq!(status, UNIMPLEMENTED);
}

#[tokio::test]
async fn the_metric_is_known_before_the_pushscaler_and_its_value_is_not() {
    for (store, expected) in [(store(), NOT_FOUND), (Store::default(), UNAVAILABLE)] {
        let mut client = start(&store).await;
        let missing = target(&[("pushscaler", "b")]);
        let (status, spec): (_, GetMetricSpecResponse) =
            call(&mut client, "GetMetricSpec", &missing).await;
        assert_eq!(status, OK);
        assert_eq!(spec.metric_specs[0].metric_name, "b-desired");
        let request = GetMetricsRequest {
            scaled_object_ref: Some(missing.clone()),
            metric_name: "b-desired".to_owned(),
        };
        let (status, _): (_, GetMetricsResponse) = call(&mut client, "GetMetrics", &request).await;
        assert_eq!(status, expected);
        let (status, _): (_, IsActiveResponse) = call(&mut client, "IsActive", &missing).await;
        assert_eq!(status, expected);
    }
}

/// Returns the next message of a stream.
async fn next<T: Message + Default>(body: &mut Incoming) -> T {
    let frame = body.frame().await.unwrap().unwrap();
    T::decode(&frame.into_data().unwrap()[5..]).unwrap()
}

async fn next_active(body: &mut Incoming) -> bool {
    next::<IsActiveResponse>(body).await.result
}

#[tokio::test]
async fn a_stream_waits_for_the_pushscaler_and_repeats_its_report_at_zero_replicas() {
    let store = Store::default();
    let mut client = start(&store).await;
    let a = target(&[("pushscaler", "a")]);
    let mut body = send(&mut client, "StreamIsActive", &a).await.into_body();
    assert!(body.frame().now_or_never().is_none());
    store.set_listed();
    store.apply("models", "a", BTreeMap::new(), "Deployment/a".to_owned());
    store.record("models", "a", sample(Ok(3)));
    assert!(next_active(&mut body).await);
    // Nothing is reported while the target runs, or while its demand is unknown.
    store.record("models", "a", sample(Ok(4)));
    let at_zero = |desired| Sample {
        at_zero: true,
        ..sample(desired)
    };
    store.record("models", "a", at_zero(Err(Arc::from("mode is Off"))));
    assert!(body.frame().now_or_never().is_none());
    // KEDA may ignore the first report.
    store.record("models", "a", at_zero(Ok(1)));
    for _ in 0..2 {
        assert!(next_active(&mut body).await);
    }
    // A new stream reports at once.
    let mut body = send(&mut client, "StreamIsActive", &a).await.into_body();
    assert!(next_active(&mut body).await);
    store.remove("models", "a");
    assert!(body.frame().now_or_never().is_none());
}

#[tokio::test]
async fn the_stream_of_the_metric_reports_it_once_and_stays_open() {
    // As GetMetricSpec, it needs no PushScaler.
    let store = Store::default();
    let mut client = start(&store).await;
    let a = target(&[("pushscaler", "a")]);
    let mut body = send(&mut client, "StreamMetricSpec", &a).await.into_body();
    let streamed: GetMetricSpecResponse = next(&mut body).await;
    let (_, polled): (_, GetMetricSpecResponse) = call(&mut client, "GetMetricSpec", &a).await;
    assert_eq!(streamed, polled);
    assert_eq!(streamed.metric_specs.len(), 1);
    // Nothing changes the metric. Later calls of the connection get their responses after what the stream would send.
    store.set_listed();
    store.apply("models", "a", BTreeMap::new(), "Deployment/a".to_owned());
    store.record("models", "a", sample(Ok(3)));
    let (status, _): (_, IsActiveResponse) = call(&mut client, "IsActive", &a).await;
    assert_eq!(status, OK);
    assert!(body.frame().now_or_never().is_none());
}

#[tokio::test]
async fn the_shutdown_ends_the_streams_without_an_error() {
    let shutdown = Shutdown::new();
    let (mut client, connection, server) = start_until(shutdown.clone(), &store()).await;
    let a = target(&[("pushscaler", "a")]);
    let mut streams = Vec::new();
    for method in ["StreamIsActive", "StreamMetricSpec"] {
        streams.push(send(&mut client, method, &a).await.into_body());
    }
    shutdown.cancel();
    for stream in streams {
        let stream = timeout(TIMEOUT, stream.collect()).await.unwrap().unwrap();
        assert_eq!(stream.trailers().unwrap()["grpc-status"], OK);
    }
    timeout(TIMEOUT, server).await.unwrap().unwrap();
    timeout(TIMEOUT, connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_is_closed() {
    let bound = bind().await;
    let mut silent = TcpStream::connect(bound.address()).await.unwrap();
    tokio::spawn(serve(bound, store(), Shutdown::new()));
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn one_client_with_many_connections_does_not_keep_keda_out() {
    let store = store();
    store.record("models", "a", sample(Ok(7)));
    let shutdown = Shutdown::new();
    let bound = bind().await;
    let address = bound.address();
    let mut held = Vec::new();
    // Connections are accepted in order, so all of these before KEDA's.
    for _ in 0..CONNECTIONS {
        let socket = TcpSocket::new_v4().unwrap();
        let attacker = Ipv4Addr::new(127, 0, 0, 2);
        socket.bind(SocketAddr::from((attacker, 0))).unwrap();
        held.push(socket.connect(address).await.unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let server = tokio::spawn(serve(bound, store, shutdown.clone()));
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = target(&[("pushscaler", "a")]);
    let response = timeout(
        TIMEOUT,
        call::<IsActiveResponse>(&mut client, "IsActive", &request),
    );
    assert_eq!(response.await.unwrap().0, OK);
    // The attacker has eight connections, and the others were closed.
    let mut closed = 0;
    for stream in &mut held[CONNECTIONS_PER_ADDRESS..] {
        let read = timeout(TIMEOUT, stream.read(&mut [0])).await.unwrap();
        closed += usize::from(matches!(read, Ok(0) | Err(_)));
    }
    assert_eq!(closed, CONNECTIONS - CONNECTIONS_PER_ADDRESS);
    shutdown.cancel();
    server.await.unwrap();
}
