//! Watches of the cluster: one per kind of object, shared by all PushScalers.
//!
//! One task owns what they report ([`Store`]) and sends events to the control loop. A periodic resync repairs
//! missed changes.

mod change;
mod objects;
mod reads;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta};
use kube::{Api, Client};
use pushscale_api::PushScaler;
use pushscale_daemon::tasks::Tasks;
use pushscale_kubernetes::{is_kind_unknown, request};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::event::{CompetingHpa, Event};
use crate::kube_scale::KubeScaleTarget;
use crate::metrics::Metrics;
use crate::scale_target::SCALE_BACKOFF;
use change::Change;
use objects::{WatchedPod, WatchedScaler, WatchedTarget};
use reads::{Finished, Reads};
use store::{Effects, Store, TargetKind};

/// Interval between lookups of an unknown kind. Its CRD may be applied after the PushScaler.
const KIND_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Interval between resyncs. With a thousand targets they read three scales per second on average.
const RESYNC_INTERVAL: Duration = Duration::from_secs(300);

/// Timeout of the read of all statuses.
const STATUSES_TIMEOUT: Duration = Duration::from_secs(60);

/// Changes that wait for the store. The watches wait when it is full.
const INPUT_QUEUE: usize = 256;

/// A change that a watch reports.
#[derive(Debug)]
enum Input {
    Scaler(Change<Box<WatchedScaler>>),
    Hpa(Change<CompetingHpa>),
    Pod(Change<WatchedPod>),
    Target(TargetKind, Change<WatchedTarget>),
}

/// Starts all watches, in `namespace` or in all namespaces. Each notification of `reread` makes them read all scales
/// and statuses.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    namespace: Option<&str>,
    scales: Arc<KubeScaleTarget>,
    reread: Arc<Notify>,
    events: mpsc::Sender<Event>,
    metrics: Metrics,
) {
    let watches = Watches {
        client: client.clone(),
        namespace: namespace.map(str::to_owned),
        scales,
        metrics,
    };
    tasks.spawn_endless("watches", run(watches, reread, events));
}

/// What the watches need.
#[derive(Clone)]
struct Watches {
    client: Client,
    namespace: Option<String>,
    scales: Arc<KubeScaleTarget>,
    metrics: Metrics,
}

/// Runs all watches until aborted.
async fn run(watches: Watches, reread: Arc<Notify>, events: mpsc::Sender<Event>) {
    let (inputs_tx, mut inputs) = mpsc::channel(INPUT_QUEUE);
    // Aborts the watches when this task is aborted.
    let mut tasks = JoinSet::new();
    watches.spawn(&mut tasks, &inputs_tx);
    let mut kinds: BTreeMap<TargetKind, AbortHandle> = BTreeMap::new();
    let mut store = Store::default();
    let mut reads = Reads::new(watches.scales.clone(), watches.metrics.clone());
    let mut resync = interval_at(Instant::now() + RESYNC_INTERVAL, RESYNC_INTERVAL);
    resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let effects = tokio::select! {
            Some(input) = inputs.recv() => {
                let is_scaler = matches!(input, Input::Scaler(_));
                let effects = apply(&mut store, input);
                if is_scaler {
                    watches.watch_kinds(&store, &mut kinds, &mut tasks, &inputs_tx);
                }
                effects
            }
            () = reread.notified() => {
                tasks.spawn(watches.clone().read_statuses(events.clone()));
                store.reread()
            }
            Finished { watch, target, start, scale } = reads.next() => {
                let succeeded = scale.is_ok();
                let effects = store.scale_read(&watch, start, scale);
                reads.finish(watch, target, succeeded, effects.is_none());
                effects.unwrap_or_default()
            }
            _ = resync.tick() => store.resync(),
        };
        for (watch, target) in effects.reads {
            reads.request(watch, target);
        }
        for event in effects.events {
            // The control loop exits at shutdown only, which aborts this task.
            if events.send(event).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

fn apply(store: &mut Store, input: Input) -> Effects {
    match input {
        Input::Scaler(change) => store.scaler(change),
        Input::Hpa(change) => store.hpa(change),
        Input::Pod(change) => store.pod(change),
        Input::Target(kind, change) => store.target_changed(&kind, change),
    }
}

impl Watches {
    /// Spawns the watches of PushScalers, HPAs and pods.
    fn spawn(&self, tasks: &mut JoinSet<()>, inputs: &mpsc::Sender<Input>) {
        let resource = ApiResource::erase::<PushScaler>(&());
        tasks.spawn(change::watch::<DynamicObject, _, _>(
            self.metrics.watch("PushScaler"),
            self.dynamic_api(&resource),
            inputs.clone(),
            objects::scaler,
            Input::Scaler,
        ));
        tasks.spawn(change::watch::<HorizontalPodAutoscaler, _, _>(
            self.metrics.watch("HorizontalPodAutoscaler"),
            self.api(),
            inputs.clone(),
            objects::hpa,
            Input::Hpa,
        ));
        tasks.spawn(change::watch::<Pod, _, _>(
            self.metrics.watch("Pod"),
            self.api(),
            inputs.clone(),
            objects::pod,
            Input::Pod,
        ));
    }

    /// Reads the statuses of all PushScalers, until that succeeds.
    async fn read_statuses(self, events: mpsc::Sender<Event>) {
        let resource = ApiResource::erase::<PushScaler>(&());
        let api = self.dynamic_api::<DynamicObject>(&resource);
        let parameters = ListParams::default();
        let mut backoff = SCALE_BACKOFF;
        loop {
            let start = Instant::now();
            match request(STATUSES_TIMEOUT, api.list(&parameters)).await {
                Ok(found) => {
                    let found = found.items.into_iter().filter_map(objects::scaler);
                    let statuses = found.map(|scaler| scaler.stored_status()).collect();
                    let read = Event::StatusesRead { start, statuses };
                    return drop(events.send(read).await);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to read the statuses of PushScalers");
                }
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Watches the kinds of all targets, and no other.
    fn watch_kinds(
        &self,
        store: &Store,
        watched: &mut BTreeMap<TargetKind, AbortHandle>,
        tasks: &mut JoinSet<()>,
        inputs: &mpsc::Sender<Input>,
    ) {
        // Ended watches stay in the set until they are joined.
        while tasks.try_join_next().is_some() {}
        let kinds = store.kinds();
        watched.retain(|kind, task| {
            let used = kinds.contains(kind);
            if !used {
                task.abort();
            }
            used
        });
        for kind in kinds {
            watched
                .entry(kind.clone())
                .or_insert_with(|| tasks.spawn(self.clone().watch_targets(kind, inputs.clone())));
        }
    }

    /// Watches the targets of one kind. Metadata is enough.
    async fn watch_targets(self, kind: TargetKind, inputs: mpsc::Sender<Input>) {
        let (api_version, name) = &kind;
        let input = |change| Input::Target(kind.clone(), change);
        loop {
            match self.scales.resource(api_version, name).await {
                Ok(resource) => {
                    let api = self.dynamic_api::<PartialObjectMeta<DynamicObject>>(&resource);
                    let (metric, inputs) = (self.metrics.watch(name), inputs.clone());
                    // A CRD that is deleted may be created again with another name of the resource.
                    let ends = is_kind_unknown;
                    change::watch_until(ends, metric, api, inputs, objects::target, input).await;
                    self.scales.forget(api_version, name);
                }
                // Each read of a target reports the error.
                Err(error) => tracing::debug!(%error, "unknown kind of a target"),
            }
            sleep(KIND_RETRY_INTERVAL).await;
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn dynamic_api<K>(&self, resource: &ApiResource) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::DynamicResourceScope, DynamicType = ApiResource>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }
}

#[cfg(test)]
mod tests;
