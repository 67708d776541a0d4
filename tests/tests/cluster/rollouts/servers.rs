//! The pods of a namespace, kept current by a watch, and their sidecars, which share a load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pushscale_api::Algorithm;
use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::Namespace;
use serde_json::Value;
use tokio::task::JoinHandle;

/// The image whose pods never become ready.
pub(super) const BROKEN: &str = "broken";

/// A pod of the API server.
#[derive(Clone)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) image: String,
    pub(super) ready: bool,
}

/// The pods and their sidecars. A watch follows the pods, as in the aggregator. Polling with kubectl instead, a busy
/// machine noticed deleted pods seconds late: their share of the load was lost for that time and then returned, which
/// is a step of the load.
pub(super) struct Servers {
    state: Arc<Mutex<State>>,
    watch: Child,
    sidecars: JoinHandle<()>,
}

struct State {
    load: f64,
    /// Completed rounds, in each of which every pod pushed.
    rounds: u64,
    /// By uid, without terminating pods.
    pods: BTreeMap<String, Pod>,
}

impl Servers {
    /// Follows the pods of a namespace, with this load.
    pub(super) fn start(
        namespace: &Namespace<'_>,
        aggregator: SocketAddr,
        algorithm: Algorithm,
        load: f64,
    ) -> Self {
        let state = Arc::new(Mutex::new(State {
            load,
            rounds: 0,
            pods: BTreeMap::new(),
        }));
        let mut watch = namespace
            .cluster
            .command("kubectl")
            .args(["-n", &namespace.name, "get", "pods", "-l", "app=torchserve"])
            .args(["--watch", "--output-watch-events", "-o", "json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let events = watch.stdout.take().unwrap();
        let seen = Arc::clone(&state);
        std::thread::spawn(move || follow(events, &seen));
        let sidecars = push_readings(
            namespace.name.clone(),
            aggregator,
            algorithm,
            Arc::clone(&state),
        );
        Self {
            state,
            watch,
            sidecars: tokio::spawn(sidecars),
        }
    }

    pub(super) fn set_load(&self, load: f64) {
        lock(&self.state).load = load;
    }

    /// Returns the number of completed rounds of pushes. A round takes at least 250 ms.
    pub(super) fn rounds(&self) -> u64 {
        lock(&self.state).rounds
    }

    pub(super) fn pods(&self) -> Vec<Pod> {
        lock(&self.state).pods.values().cloned().collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.sidecars.abort();
        self.watch.kill().ok();
        self.watch.wait().ok();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(events: ChildStdout, state: &Mutex<State>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = serde_json::Deserializer::from_reader(events).into_iter::<Value>();
    // The stream ends with the test, possibly in the middle of an event.
    for event in events.map_while(Result::ok) {
        let pod = &event["object"];
        let uid = text(&pod["metadata"]["uid"]);
        let deleted = event["type"] == "DELETED" || !pod["metadata"]["deletionTimestamp"].is_null();
        let pods = &mut lock(state).pods;
        if deleted {
            pods.remove(&uid);
            continue;
        }
        let pod = Pod {
            name: text(&pod["metadata"]["name"]),
            uid: uid.clone(),
            image: text(&pod["spec"]["containers"][0]["image"]),
            ready: pod["status"]["conditions"][0]["status"] == "True",
        };
        pods.insert(uid, pod);
    }
}

/// Pushes nearly four readings per second for every pod, however long kubectl takes.
async fn push_readings(
    namespace: String,
    aggregator: SocketAddr,
    algorithm: Algorithm,
    state: Arc<Mutex<State>>,
) {
    let mut fakes: BTreeMap<String, FakePod> = BTreeMap::new();
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    loop {
        // A pause after each round, not a fixed schedule: after a round that a busy machine delayed, a pod would push
        // twice within 50 ms, which is rejected.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let (load, pods) = {
            let state = lock(&state);
            (state.load, state.pods.clone())
        };
        let serving = pods.values().filter(|pod| pod.ready).count();
        let share = load / serving.max(1) as f64;
        for (uid, pod) in &pods {
            let load = match algorithm {
                _ if !pod.ready && pod.image == BROKEN => Load::Unknown,
                _ if !pod.ready => continue,
                Algorithm::Ratio => Load::QueueLatency(share),
                // The requests since the last push arrived at the share of that time: none are lost when there are more
                // pods now.
                Algorithm::Model => {
                    Load::Rate(7.5 * shares.insert(uid.clone(), share).unwrap_or_default())
                }
            };
            let fake = fakes
                .entry(uid.clone())
                .or_insert_with(|| FakePod::new(&namespace, &pod.name, uid));
            let answer = fake.push(aggregator, load).await;
            assert!(matches!(answer.status, 200 | 404), "{answer:?}");
        }
        lock(&state).rounds += 1;
    }
}
