//! A Deployment's pods that report a queue latency while the test watches what scales them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pushscale_tests::fake_pod::{FakePod, Load};
use pushscale_tests::namespace::{Aggregator, Namespace};
use serde_json::Value;

/// The HPA's loop takes 15 s, and a fleet grows in three of them.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The pods of the Deployment. A thread pushes for them, like sidecars do but more often, since a reading is fresh for
/// three seconds only and kubectl can take longer.
pub(crate) struct ReportingFleet<'a> {
    namespace: &'a Namespace<'a>,
    shared: Arc<SharedFleet>,
    pusher: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct SharedFleet {
    pods: Mutex<BTreeMap<String, FakePod>>,
    /// What all pods report; `None` pushes nothing.
    load: Mutex<Option<Load>>,
    stopped: AtomicBool,
}

impl<'a> ReportingFleet<'a> {
    /// Starts pushing to this aggregator. Nothing is reported yet.
    pub(crate) fn push_to(namespace: &'a Namespace<'a>, aggregator: &Aggregator) -> Self {
        let shared = Arc::new(SharedFleet::default());
        let (fleet, push) = (Arc::clone(&shared), aggregator.push);
        let pusher = std::thread::spawn(move || fleet.push(push));
        Self {
            namespace,
            shared,
            pusher: Some(pusher),
        }
    }

    /// Sets the queue latency that all pods report, in seconds; `None` stops the pushes.
    pub(crate) fn report(&self, latency: Option<f64>) {
        self.report_load(latency.map(Load::QueueLatency));
    }

    /// Sets what all pods report; `None` stops the pushes.
    pub(crate) fn report_load(&self, load: Option<Load>) {
        *self.shared.load.lock().unwrap() = load;
    }

    /// Starts new pods, and adds them to those that push.
    fn discover(&self) {
        let text = |pod: &Value, key: &str| pod["metadata"][key].as_str().unwrap().to_owned();
        let items = self.namespace.pods("torchserve");
        for pod in &items {
            let (name, uid) = (text(pod, "name"), text(pod, "uid"));
            let is_known = self.shared.pods.lock().unwrap().contains_key(&name);
            if !is_known {
                self.namespace.set_pod_if_there(&name, "Running", true);
                let fake = FakePod::new(&self.namespace.name, &name, &uid);
                self.shared.pods.lock().unwrap().insert(name, fake);
            }
        }
        let names: Vec<String> = items.iter().map(|pod| text(pod, "name")).collect();
        let mut pods = self.shared.pods.lock().unwrap();
        pods.retain(|name, _| names.contains(name));
    }

    /// Waits until the condition holds.
    pub(crate) async fn until(&self, what: &str, mut so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !so() {
            assert!(
                start.elapsed() < TIMEOUT,
                "not {what}: {}",
                self.namespace.kubectl(&["describe", "hpa"])
            );
            self.discover();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for ReportingFleet<'_> {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        if let Some(pusher) = self.pusher.take() {
            pusher.join().ok();
        }
    }
}

impl SharedFleet {
    fn push(&self, aggregator: SocketAddr) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        while !self.stopped.load(Ordering::Relaxed) {
            let load = *self.load.lock().unwrap();
            if let Some(load) = load {
                for pod in self.pods.lock().unwrap().values_mut() {
                    // The aggregator may know a pod a moment later or no longer, and may have been stopped.
                    runtime.block_on(pod.push(aggregator, load));
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
