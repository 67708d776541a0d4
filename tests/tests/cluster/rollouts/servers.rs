//! Pods as the API server has them at any moment, and the sidecars in them, which share a load.

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

/// One pod as the API server has it.
#[derive(Clone)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) image: String,
    pub(super) ready: bool,
}

/// They see a pod come and go when the aggregator does. Asked by kubectl again and again instead, a busy machine saw pods go
/// seconds late: their share of the load was lost to everybody for so long and then back, which is a step of the load.
pub(super) struct Servers {
    world: Arc<Mutex<World>>,
    watch: Child,
    sidecars: JoinHandle<()>,
}

struct World {
    load: f64,
    /// By uid, without those on their way out.
    pods: BTreeMap<String, Pod>,
}

impl Servers {
    /// Of the pods of a namespace, with so much load.
    pub(super) fn start(
        namespace: &Namespace<'_>,
        aggregator: SocketAddr,
        algorithm: Algorithm,
        load: f64,
    ) -> Self {
        let world = Arc::new(Mutex::new(World {
            load,
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
        let seen = Arc::clone(&world);
        std::thread::spawn(move || follow(events, &seen));
        let sidecars = push_readings(
            namespace.name.clone(),
            aggregator,
            algorithm,
            Arc::clone(&world),
        );
        Self {
            world,
            watch,
            sidecars: tokio::spawn(sidecars),
        }
    }

    pub(super) fn set_load(&self, load: f64) {
        locked(&self.world).load = load;
    }

    pub(super) fn pods(&self) -> Vec<Pod> {
        locked(&self.world).pods.values().cloned().collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.sidecars.abort();
        self.watch.kill().ok();
        self.watch.wait().ok();
    }
}

fn locked(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(events: ChildStdout, world: &Mutex<World>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = serde_json::Deserializer::from_reader(events).into_iter::<Value>();
    // It ends with the test, in the middle of an event as well.
    for event in events.map_while(Result::ok) {
        let pod = &event["object"];
        let uid = text(&pod["metadata"]["uid"]);
        let gone = event["type"] == "DELETED" || !pod["metadata"]["deletionTimestamp"].is_null();
        let pods = &mut locked(world).pods;
        if gone {
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
    world: Arc<Mutex<World>>,
) {
    let mut fakes: BTreeMap<String, FakePod> = BTreeMap::new();
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    loop {
        // A pause after each round, not a fixed schedule: after a round that a busy machine delayed, a pod would push twice
        // within 50 ms, which is rejected.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let (load, pods) = {
            let world = locked(&world);
            (world.load, world.pods.clone())
        };
        let serving = pods.values().filter(|pod| pod.ready).count();
        #[expect(clippy::cast_precision_loss, reason = "a number of pods")]
        let share = load / serving.max(1) as f64;
        for (uid, pod) in &pods {
            let load = match algorithm {
                _ if !pod.ready && pod.image == BROKEN => Load::Unknown,
                _ if !pod.ready => continue,
                Algorithm::Ratio => Load::QueueLatency(share),
                // The requests since the last push arrived at the share of that time: none are lost when there are more pods now.
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
    }
}
