//! An aggregator without a cluster: one PushScaler, pods added by hand, and replica counts recorded instead of written.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pushscale_aggregator::{
    Backend, Config, DeletionFacts, Event, PushSecurity, Report, Scale, ScaleError, ScaleTarget,
    ScalerFacts, ScalerKey, TargetRef, WatchId, Written,
};
use pushscale_api::{PushScalerSpec, policy_of};
use pushscale_daemon::config::Settings;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::{Pod, PodUid, Policy};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The namespace of all objects.
pub const NAMESPACE: &str = "models";

/// A running aggregator that gets its events from this struct.
pub struct FakeCluster {
    /// Address for pushes.
    pub push: SocketAddr,
    /// Address of the admin pages.
    pub admin: SocketAddr,
    /// Written replica counts: from, to.
    pub writes: mpsc::UnboundedReceiver<(u32, u32)>,
    events: mpsc::Sender<Event>,
    stop: Shutdown,
    running: JoinHandle<()>,
}

struct Recorder {
    written: mpsc::UnboundedSender<(u32, u32)>,
    replicas: AtomicU32,
}

impl ScaleTarget for Recorder {
    fn read<'a>(&'a self, _: &'a TargetRef) -> BoxFuture<'a, Result<Scale, ScaleError>> {
        let replicas = self.replicas.load(Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(scale(replicas))))
    }

    fn write<'a>(
        &'a self,
        _: &'a TargetRef,
        _: Option<&'a str>,
        from: u32,
        to: u32,
    ) -> BoxFuture<'a, Result<Written, ScaleError>> {
        self.written.send((from, to)).ok();
        self.replicas.store(to, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Written::Done(scale(to)))))
    }
}

fn scale(replicas: u32) -> Scale {
    Scale {
        replicas,
        existing: None,
        selector: "app=torchserve".to_owned(),
        uid: None,
        version: 0,
    }
}

impl FakeCluster {
    /// Starts an aggregator on free ports, with one PushScaler of this policy and a target of `replicas`.
    pub async fn start(policy: Policy, replicas: u32) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), policy, replicas).await
    }

    /// The same, with its push port at `address`.
    pub async fn start_at(address: SocketAddr, policy: Policy, replicas: u32) -> Self {
        let mut cluster = Self::start_without_list(address).await;
        cluster.apply(policy, replicas).await;
        cluster
    }

    /// Starts an aggregator that has not received the list of PushScalers.
    pub async fn start_without_list(address: SocketAddr) -> Self {
        Self::start_with_security(address, PushSecurity::default()).await
    }

    /// The same, with a certificate and the authentication of pods.
    pub async fn start_with_security(address: SocketAddr, push_security: PushSecurity) -> Self {
        Self::start_with_settings(address, push_security, &[]).await
    }

    /// The same, with additional settings.
    pub async fn start_with_settings(
        address: SocketAddr,
        push_security: PushSecurity,
        more: &[(&str, &str)],
    ) -> Self {
        let listen = address.to_string();
        let settings = [
            ("PUSHSCALE_AGGREGATOR_LISTEN", listen.as_str()),
            ("PUSHSCALE_AGGREGATOR_ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        let settings = settings.iter().chain(more).copied();
        let settings = Settings::from_pairs(&pushscale_aggregator::PROGRAM, settings)
            .expect("settings are text");
        let config = Config::from_settings(settings).expect("settings are right");
        let bound = pushscale_aggregator::bind(config)
            .await
            .expect("ports are free");
        let (push, admin) = (bound.push_address(), bound.admin_address());
        let (written, writes) = mpsc::unbounded_channel();
        let (event_sender, mut event_senders) = mpsc::channel(1);
        let (reports, _nobody) = mpsc::channel::<Report>(1);
        let backend = Backend {
            scale_target: Arc::new(Recorder {
                written,
                replicas: AtomicU32::new(0),
            }),
            event_sender,
            reports,
            push_security,
        };
        let stop = Shutdown::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move {
            bound
                .run_with(backend, stopped)
                .await
                .expect("the aggregator runs");
        });
        let events = event_senders.recv().await.expect("the aggregator starts");
        Self {
            push,
            admin,
            writes,
            events,
            stop,
            running,
        }
    }

    /// Starts an aggregator on free ports, with one PushScaler of this spec and a target of `replicas`.
    pub async fn start_with_spec(spec: &PushScalerSpec, replicas: u32) -> Self {
        let mut cluster = Self::start_without_list((Ipv4Addr::LOCALHOST, 0).into()).await;
        let policy = policy_of(spec).expect("the spec is right");
        cluster
            .apply_all(policy, Some(Arc::new(spec.clone())), replicas)
            .await;
        cluster
    }

    /// Applies a PushScaler with this policy and a target of `replicas`, and lists no other.
    pub async fn apply(&mut self, policy: Policy, replicas: u32) {
        self.apply_all(policy, None, replicas).await;
    }

    async fn apply_all(
        &mut self,
        policy: Policy,
        spec: Option<Arc<PushScalerSpec>>,
        replicas: u32,
    ) {
        let facts = facts(SCALER, policy, spec);
        let key = facts.key.clone();
        self.send(Event::ScalerApplied(Arc::new(facts))).await;
        self.send(Event::ScalersListed(BTreeSet::from([key]))).await;
        self.send(Event::HpasListed(BTreeSet::new())).await;
        self.set_replicas(replicas).await;
        self.send(Event::PodsListed {
            watch: watch_of(SCALER),
            uids: BTreeSet::new(),
        })
        .await;
        self.until_ready().await;
    }

    /// Applies these PushScalers of one policy, and lists no others. Each has a target of its own.
    pub async fn apply_many(&self, names: &[String], policy: &Policy, replicas: u32) {
        for name in names {
            self.add_scaler(name, policy, replicas).await;
        }
        let listed = names.iter().map(|name| key_of(name)).collect();
        self.send(Event::ScalersListed(listed)).await;
        self.send(Event::HpasListed(BTreeSet::new())).await;
    }

    /// Adds a PushScaler with a target of its own, which has no pods.
    pub async fn add_scaler(&self, name: &str, policy: &Policy, replicas: u32) {
        let facts = facts(name, policy.clone(), None);
        let watch = facts.watch.clone();
        self.send(Event::ScalerApplied(Arc::new(facts))).await;
        self.send(Event::TargetRead {
            watch: watch.clone(),
            start: Instant::now(),
            written_by_us: false,
            scale: Ok(scale(replicas)),
        })
        .await;
        let uids = BTreeSet::new();
        self.send(Event::PodsListed { watch, uids }).await;
    }

    /// Deletes a PushScaler.
    pub async fn remove_scaler(&self, name: &str) {
        self.send(Event::ScalerDeleted(key_of(name))).await;
    }

    /// Adds a running pod to the target of the PushScaler `scaler`.
    pub async fn add_pod_to(&self, scaler: &str, name: &str) {
        self.send(Event::PodApplied {
            watch: watch_of(scaler),
            uid: uid(name),
            pod: Pod::running(name),
            deletion: DeletionFacts::default(),
        })
        .await;
    }

    /// Deletes the pod from the target of the PushScaler `scaler`.
    pub async fn remove_pod_from(&self, scaler: &str, name: &str) {
        self.send(Event::PodDeleted {
            watch: watch_of(scaler),
            uid: uid(name),
        })
        .await;
    }

    /// Reports that the target has this number of replicas.
    pub async fn set_replicas(&self, replicas: u32) {
        self.send(Event::TargetRead {
            watch: watch_of(SCALER),
            start: Instant::now(),
            written_by_us: false,
            scale: Ok(scale(replicas)),
        })
        .await;
    }

    /// Adds a running pod to the target. Its uid is its name with `-uid`.
    pub async fn add_pod(&self, name: &str) {
        self.add_pod_to(SCALER, name).await;
    }

    /// Waits until the control loop has handled all events so far: the request of a page is one of them. Tokens of pods
    /// that it does not know yet are rejected.
    pub async fn until_handled(&self) {
        crate::http::get(self.admin, "/debug/scalers").await;
    }

    /// Deletes the pod.
    pub async fn remove_pod(&self, name: &str) {
        self.remove_pod_from(SCALER, name).await;
    }

    /// Returns the next written replica count: from, to.
    pub async fn next_write(&mut self, within: Duration) -> (u32, u32) {
        timeout(within, self.writes.recv())
            .await
            .expect("a size is written in time")
            .expect("the aggregator runs")
    }

    /// Waits until this replica count is written, and returns all counts up to it, with the initial one.
    pub async fn until_replicas(&mut self, wanted: u32, within: Duration) -> Vec<u32> {
        let mut sizes = Vec::new();
        let arrive = async {
            while sizes.last() != Some(&wanted) {
                let (from, to) = self.writes.recv().await.expect("the aggregator runs");
                if sizes.is_empty() {
                    sizes.push(from);
                }
                sizes.push(to);
            }
        };
        if timeout(within, arrive).await.is_err() {
            panic!("{wanted} is not written within {within:?}: {sizes:?}");
        }
        sizes
    }

    /// Panics if replicas are written before `end` completes.
    pub async fn assert_no_write_during(&mut self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            write = self.writes.recv() => panic!("a size was written: {write:?}"),
        }
    }

    /// Shuts the aggregator down and waits until it has stopped.
    pub async fn end(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(60), self.running)
            .await
            .expect("the aggregator stops")
            .expect("the aggregator does not panic");
    }

    /// Starts the shutdown without waiting for it.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    async fn send(&self, event: Event) {
        self.events.send(event).await.expect("the loop runs");
    }

    async fn until_ready(&self) {
        crate::http::until(Duration::from_secs(60), || async {
            crate::http::get(self.admin, "/ready").await.status == 200
        })
        .await;
    }
}

/// Returns the uid of the pod with this name.
pub fn uid(name: &str) -> PodUid {
    format!("{name}-uid").into()
}

/// The only PushScaler, unless there are many.
const SCALER: &str = "torchserve";

fn facts(name: &str, policy: Policy, spec: Option<Arc<PushScalerSpec>>) -> ScalerFacts {
    ScalerFacts {
        uid: format!("{name}-scaler-uid"),
        spec,
        ..ScalerFacts::new(
            watch_of(name),
            TargetRef::deployment(NAMESPACE, name),
            policy,
        )
    }
}

fn key_of(name: &str) -> ScalerKey {
    ScalerKey::new(NAMESPACE, name)
}

fn watch_of(name: &str) -> WatchId {
    WatchId {
        scaler: key_of(name),
        number: 1,
    }
}
