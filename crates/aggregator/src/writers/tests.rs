//! Shutdowns with API servers of any speed, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::client::Body;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use pushscale_decision::Checkpoint;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::names::{ScalerKey, TargetRef};
use crate::report::{CheckpointReport, StoredCheckpoint};
use crate::run::{SHUTDOWN_GRACE, STALLED_AFTER};

/// An API server that stores a write at the end of its latency, unless the client has given up before.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    latency: Duration,
    /// The version of the last write.
    version: u64,
    /// The number of requests that read.
    reads: u32,
    /// Whether writes of checkpoints fail, and how many have failed.
    rejects_checkpoints: bool,
    rejected: u32,
    /// Whether writes of checkpoints are stored, and their responses lost.
    loses_responses: bool,
    /// The objects by path.
    objects: BTreeMap<String, Value>,
    /// What was written, in order.
    writes: Vec<String>,
}

impl ApiServer {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, hyper::Error>(server.respond(request).await) }
        });
        Client::new(service, "default")
    }

    fn set_latency(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().writes)
    }

    async fn respond(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let latency = self.0.lock().latency;
        sleep(latency).await;
        let mut state = self.0.lock();
        let path = head.uri.path().trim_end_matches('/');
        if head.method == Method::GET {
            state.reads += 1;
            return match state.objects.get(path) {
                Some(object) => response(StatusCode::OK, object),
                None => response(
                    StatusCode::NOT_FOUND,
                    &failure(StatusCode::NOT_FOUND, "NotFound"),
                ),
            };
        }
        if state.rejects_checkpoints && path.contains("/pushscalercheckpoints") {
            state.rejected += 1;
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return response(status, &failure(status, "InternalError"));
        }
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        let replaced = object["metadata"]["resourceVersion"].as_str();
        let name = object["metadata"]["name"].as_str().unwrap();
        // An object is created at the path of its collection.
        let path = if path.ends_with(&format!("/{name}")) {
            path.to_owned()
        } else {
            format!("{path}/{name}")
        };
        let stored = state.objects.get(&path);
        let stored = stored.and_then(|stored| stored["metadata"]["resourceVersion"].as_str());
        let is_conflict = match head.method {
            Method::POST => stored.is_some(),
            _ => replaced.is_some() && replaced != stored,
        };
        if is_conflict {
            let status = StatusCode::CONFLICT;
            return response(status, &failure(status, "Conflict"));
        }
        state.version += 1;
        object["metadata"]["uid"] = json!("1");
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let holder = object["spec"]["holderIdentity"].as_str().unwrap_or("");
        let name = object["metadata"]["name"].as_str().unwrap();
        let kind = head.uri.path().split('/').nth(6).unwrap();
        let write = match (kind, holder) {
            ("leases", "") => "Lease released".to_owned(),
            ("leases", _) => "Lease held".to_owned(),
            _ => format!("checkpoint {name}"),
        };
        let result = response(StatusCode::OK, &object);
        let is_lost = state.loses_responses && path.contains("/pushscalercheckpoints");
        state.objects.insert(path, object);
        state.writes.push(write);
        if is_lost {
            let status = StatusCode::GATEWAY_TIMEOUT;
            return response(status, &failure(status, "Timeout"));
        }
        result
    }
}

fn failure(status: StatusCode, reason: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": reason,
        "code": status.as_u16(),
    })
}

fn response(status: StatusCode, object: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(object.to_string()));
    *response.status_mut() = status;
    response
}

/// Returns the last checkpoint of this PushScaler.
fn checkpoint(name: &str) -> Report {
    Report::Checkpoint(CheckpointReport {
        scaler: ScalerKey::new("models", name),
        uid: "1".to_owned(),
        target: TargetRef::deployment("models", name),
        at: Timestamp::UNIX_EPOCH,
        checkpoint: Box::new(Checkpoint::default()),
        is_last: true,
        stored: StoredCheckpoint::default(),
    })
}

/// The writers of one aggregator, and what they work with.
struct Fixture {
    server: ApiServer,
    leadership: Leadership,
    shutdown: Shutdown,
    tasks: Tasks,
    reports: mpsc::Sender<Report>,
    heartbeat: Heartbeat,
    _events: mpsc::Receiver<Event>,
}

impl Fixture {
    fn start(readiness: Readiness) -> Self {
        // The control loop is not stalled.
        let heartbeat = Heartbeat::new(Duration::MAX);
        Self::candidate(ApiServer::default(), "a", readiness, heartbeat)
    }

    fn candidate(server: ApiServer, pod: &str, readiness: Readiness, heartbeat: Heartbeat) -> Self {
        let leadership = Leadership::following();
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::default();
        let (reports, report_queue) = mpsc::channel(8);
        let (events_tx, events) = mpsc::channel(8);
        let writers = Writers {
            client: server.client(),
            leadership: leadership.clone(),
            readiness,
            heartbeat: heartbeat.clone(),
            metrics: Metrics::register(&mut Registry::default()),
            shutdown: shutdown.clone(),
        };
        let lease = LeaseSettings {
            namespace: "pushscale".to_owned(),
            name: "aggregator".to_owned(),
            pod: pod.to_owned(),
        };
        writers.start(&mut tasks, report_queue, Some(lease), events_tx);
        Self {
            server,
            leadership,
            shutdown,
            tasks,
            reports,
            heartbeat,
            _events: events,
        }
    }

    async fn elected(&self) {
        until(|| self.leadership.term().is_some()).await;
        assert_eq!(self.server.take_writes(), ["Lease held"]);
    }

    /// Shuts down. Returns what is written until the process exits, and when that is.
    async fn stop(mut self) -> (Vec<String>, Duration) {
        let start = Instant::now();
        self.shutdown.cancel();
        drop(self.reports);
        let exit = self.tasks.run_until(&self.shutdown, SHUTDOWN_GRACE);
        exit.await.unwrap();
        (self.server.take_writes(), start.elapsed())
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), wait).await.unwrap();
}

/// Stops a leader that has a checkpoint to write while the API server has this latency. Returns what is written until
/// the process exits, and when that is.
async fn stop(latency: Duration) -> (Vec<String>, Duration) {
    let fixture = Fixture::start(Readiness::default());
    fixture.elected().await;
    fixture.server.set_latency(latency);
    fixture.reports.send(checkpoint("resnet")).await.unwrap();
    fixture.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_candidate_takes_the_lease_once_it_is_ready() {
    let readiness = Readiness::default();
    let latch = readiness.latch();
    let fixture = Fixture::start(readiness);
    until(|| fixture.server.0.lock().reads >= 3).await;
    assert_eq!(fixture.server.take_writes(), [""; 0]);
    let start = Instant::now();
    drop(latch);
    fixture.elected().await;
    assert!(start.elapsed() < Duration::from_millis(100));
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_control_loop_is_stalled_loses_the_lease() {
    let candidate = |server: &ApiServer, pod| {
        let heartbeat = Heartbeat::new(STALLED_AFTER);
        Fixture::candidate(server.clone(), pod, Readiness::default(), heartbeat)
    };
    let server = ApiServer::default();
    let leader = candidate(&server, "a");
    leader.elected().await;
    let follower = candidate(&server, "b");
    let is_running = async |heartbeats: &[&Heartbeat], seconds| {
        for _ in 0..seconds {
            heartbeats.iter().for_each(|heartbeat| heartbeat.beat());
            sleep(Duration::from_secs(1)).await;
        }
    };
    is_running(&[&leader.heartbeat, &follower.heartbeat], 300).await;
    assert!(leader.leadership.term().is_some() && follower.leadership.term().is_none());
    // The leader stops renewing when it is stalled, and its Lease ends.
    let takes_over = STALLED_AFTER.as_secs() + 12;
    is_running(&[&follower.heartbeat], takes_over).await;
    assert!(leader.leadership.term().is_none() && follower.leadership.term().is_some());
    // A leader that continues follows.
    is_running(&[&leader.heartbeat, &follower.heartbeat], 60).await;
    assert!(leader.leadership.term().is_none() && follower.leadership.term().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_released_after_the_last_checkpoint_is_written() {
    let latency = Duration::from_millis(200);
    let (writes, time) = stop(latency).await;
    assert_eq!(writes, ["checkpoint resnet", "Lease released"]);
    assert_eq!(time, 2 * latency);
}

#[tokio::test(start_paused = true)]
async fn with_a_slow_api_server_the_last_checkpoint_is_written_and_the_lease_released() {
    for millis in [600, 900, 1100, 1300] {
        let latency = Duration::from_millis(millis);
        let (writes, time) = stop(latency).await;
        assert_eq!(writes, ["checkpoint resnet", "Lease released"], "{millis}");
        assert_eq!(time, RELEASE_AFTER + latency);
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_released_once_the_last_replica_count_is_written_or_not_at_all() {
    for (millis, released) in [(300, true), (1800, false)] {
        let fixture = Fixture::start(Readiness::default());
        fixture.elected().await;
        let leadership = fixture.leadership.clone();
        let write = tokio::spawn(async move {
            let request = sleep(Duration::from_millis(millis));
            leadership.write_in(1, request).await
        });
        tokio::task::yield_now().await;
        let (writes, time) = fixture.stop().await;
        assert_eq!(write.await.unwrap().is_some(), released);
        assert_eq!(!writes.is_empty(), released, "{writes:?}");
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_respond_does_not_delay_the_exit() {
    let (writes, time) = stop(Duration::from_secs(60)).await;
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(time, SHUTDOWN_GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_could_not_be_written_is_left_to_the_next_one() {
    let fixture = Fixture::start(Readiness::default());
    fixture.elected().await;
    fixture.server.0.lock().rejects_checkpoints = true;
    fixture.reports.send(checkpoint("resnet")).await.unwrap();
    until(|| fixture.server.0.lock().rejected > 0).await;
    fixture.server.0.lock().rejects_checkpoints = false;
    // The PushScaler may be deleted meanwhile.
    sleep(Duration::from_secs(600)).await;
    let writes = fixture.server.take_writes();
    assert!(!writes.contains(&"checkpoint resnet".to_owned()));
    fixture.reports.send(checkpoint("resnet")).await.unwrap();
    let (writes, _) = fixture.stop().await;
    assert_eq!(writes, ["checkpoint resnet", "Lease released"]);
}

#[tokio::test(start_paused = true)]
async fn a_last_checkpoint_replaces_only_what_this_leader_has_read_or_written() {
    let path = "/apis/pushscale.dev/v1alpha1/namespaces/models/pushscalercheckpoints/resnet";
    let version = |version: &str| ObjectMeta {
        uid: Some("1".to_owned()),
        resource_version: Some(version.to_owned()),
        ..ObjectMeta::default()
    };
    for (read, found, is_written) in [
        (None, None, true),
        (Some("7"), Some("7"), true),
        // The next leader has written.
        (None, Some("7"), false),
        (Some("7"), Some("8"), false),
    ] {
        let fixture = Fixture::start(Readiness::default());
        fixture.elected().await;
        if let Some(found) = found {
            let found = json!({ "metadata": { "uid": "1", "resourceVersion": found } });
            let objects = &mut fixture.server.0.lock().objects;
            objects.insert(path.to_owned(), found);
        }
        let mut report = checkpoint("resnet");
        let Report::Checkpoint(last) = &mut report else {
            panic!("not a checkpoint");
        };
        last.stored.record(read.map(version).as_ref());
        fixture.reports.send(report).await.unwrap();
        let (writes, _) = fixture.stop().await;
        let is_checkpoint = |write: &String| write == "checkpoint resnet";
        assert_eq!(
            writes.iter().any(is_checkpoint),
            is_written,
            "{read:?} {found:?}"
        );
        assert!(writes.contains(&"Lease released".to_owned()), "{writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_last_checkpoint_replaces_the_one_that_the_leader_wrote_before() {
    let fixture = Fixture::start(Readiness::default());
    fixture.elected().await;
    let Report::Checkpoint(last) = checkpoint("resnet") else {
        panic!("not a checkpoint");
    };
    let mut first = last.clone();
    first.is_last = false;
    for report in [first, last] {
        fixture
            .reports
            .send(Report::Checkpoint(report))
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let writes = fixture.server.take_writes();
    let written = writes.iter().filter(|write| *write == "checkpoint resnet");
    assert_eq!(written.count(), 2, "{writes:?}");
    fixture.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_last_checkpoint_replaces_the_leaders_own_one_whose_response_was_lost() {
    let path = "/apis/pushscale.dev/v1alpha1/namespaces/models/pushscalercheckpoints/resnet";
    for replaced_by_next_leader in [false, true] {
        let fixture = Fixture::start(Readiness::default());
        fixture.elected().await;
        let Report::Checkpoint(first) = checkpoint("resnet") else {
            panic!("not a checkpoint");
        };
        let stored = first.stored.clone();
        for hour in 0..2 {
            let report = CheckpointReport {
                at: Timestamp::from_second(hour * 3600).unwrap(),
                is_last: false,
                ..first.clone()
            };
            fixture.server.0.lock().loses_responses = hour == 1;
            fixture
                .reports
                .send(Report::Checkpoint(report))
                .await
                .unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        fixture.server.0.lock().loses_responses = false;
        if replaced_by_next_leader {
            let mut state = fixture.server.0.lock();
            let found = state.objects.get_mut(path).unwrap();
            found["metadata"]["resourceVersion"] = json!("1000");
            found["spec"]["writtenAt"] = json!("1970-01-01T01:00:01Z");
        }
        fixture.server.take_writes();
        let last = CheckpointReport {
            at: Timestamp::from_second(2 * 3600).unwrap(),
            stored,
            ..first
        };
        fixture
            .reports
            .send(Report::Checkpoint(last))
            .await
            .unwrap();
        let (writes, _) = fixture.stop().await;
        let is_written = writes.iter().any(|write| write == "checkpoint resnet");
        assert_eq!(is_written, !replaced_by_next_leader, "{writes:?}");
    }
}
