//! The watch of PushScalers. Each PushScaler has a watch of its target, which has a watch of the target's pods.
//!
//! The objects are parsed one by one: one that an older CRD accepted must not hide the others.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Api, Client, ResourceExt as _};
use pushscale_api::{
    PushScaler, PushScalerSpec, PushScalerStatus, Schedules, SpecProblem, policy_of,
};
use serde::Deserialize as _;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{send, targets};
use crate::event::{Event, ScalerFacts, WatchId};
use crate::kube_scale::KubeScaleTarget;
use crate::names::{ScalerKey, TargetRef};
use crate::status::restore;

pub(super) async fn watch(client: Client, namespace: Option<String>, events: mpsc::Sender<Event>) {
    let resource = ApiResource::erase::<PushScaler>(&());
    let api: Api<DynamicObject> = match namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut watches = TargetWatches {
        scales: Arc::new(KubeScaleTarget::new(client.clone())),
        client,
        events,
        open: BTreeMap::new(),
        last_number: 0,
    };
    let mut relisted = BTreeSet::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(Watched::Init) => relisted.clear(),
            Ok(Watched::InitApply(scaler)) => {
                relisted.extend(key_of(&scaler));
                watches.apply(scaler).await;
            }
            Ok(Watched::InitDone) => {
                watches.open.retain(|key, open| {
                    let exists = relisted.contains(key);
                    if !exists {
                        open.task.abort();
                    }
                    exists
                });
                let all = std::mem::take(&mut relisted);
                send(&watches.events, Event::ScalersListed(all)).await;
            }
            Ok(Watched::Apply(scaler)) => watches.apply(scaler).await,
            Ok(Watched::Delete(scaler)) => {
                if let Some(key) = key_of(&scaler) {
                    if let Some(open) = watches.open.remove(&key) {
                        open.task.abort();
                    }
                    send(&watches.events, Event::ScalerDeleted(key)).await;
                }
            }
            Err(error) => tracing::warn!(%error, "PushScaler watch failed"),
        }
    }
}

/// The watches of the targets.
struct TargetWatches {
    client: Client,
    scales: Arc<KubeScaleTarget>,
    events: mpsc::Sender<Event>,
    open: BTreeMap<ScalerKey, Open>,
    last_number: u64,
}

struct Open {
    /// A PushScaler that was deleted and recreated between two lists has a new uid, and needs a new watch, because the
    /// control loop forgets what the old one reported.
    uid: String,
    target: TargetRef,
    watch: WatchId,
    task: AbortHandle,
}

impl TargetWatches {
    async fn apply(&mut self, scaler: DynamicObject) {
        let Some(key) = key_of(&scaler) else { return };
        let target = target_of(&scaler, &key.namespace);
        let spec = PushScalerSpec::deserialize(&scaler.data["spec"]);
        let policy = match &spec {
            Ok(spec) => policy_of(spec),
            Err(error) => Err(vec![unparsable(error)]),
        };
        let spec = spec.ok();
        // A status that does not parse is written again.
        let status = PushScalerStatus::deserialize(&scaler.data["status"]).ok();
        let uid = scaler.uid().unwrap_or_default();
        let current = self.open.get(&key);
        let current = current.filter(|open| open.target == target && open.uid == uid);
        let watch = match current {
            Some(open) => open.watch.clone(),
            None => {
                self.last_number += 1;
                WatchId {
                    scaler: key.clone(),
                    number: self.last_number,
                }
            }
        };
        let is_new = current.is_none();
        let restored = restore(status.as_ref());
        let facts = ScalerFacts {
            key: key.clone(),
            uid: uid.clone(),
            generation: scaler.metadata.generation,
            target: target.clone(),
            watch: watch.clone(),
            policy,
            schedules: spec.as_ref().map(schedules_of).unwrap_or_default(),
            spec: spec.map(Arc::new),
            conditions: restored.conditions,
            last_scale_time: restored.last_scale_time,
            transitions: restored.transitions,
        };
        // The scaler must arrive before its target's events: the control loop ignores events of unknown watches.
        send(&self.events, Event::ScalerApplied(Box::new(facts))).await;
        if is_new {
            let task = tokio::spawn(targets::watch(
                self.client.clone(),
                Arc::clone(&self.scales),
                target.clone(),
                watch.clone(),
                self.events.clone(),
            ));
            let open = Open {
                uid,
                target,
                watch,
                task: task.abort_handle(),
            };
            if let Some(old) = self.open.insert(key, open) {
                old.task.abort();
            }
        }
    }
}

/// Problems in the schedules are reported with the policy's.
fn schedules_of(spec: &PushScalerSpec) -> Schedules {
    let schedules = spec.schedules.as_deref().unwrap_or_default();
    Schedules::of(schedules).unwrap_or_default()
}

/// Returns the target, with empty names if the spec has none.
fn target_of(scaler: &DynamicObject, namespace: &str) -> TargetRef {
    let reference = &scaler.data["spec"]["scaleTargetRef"];
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
    TargetRef {
        namespace: namespace.to_owned(),
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: text("name"),
    }
}

fn unparsable(error: &serde_json::Error) -> SpecProblem {
    SpecProblem {
        field: "spec".to_owned(),
        found: format!("not readable ({error})"),
        expected: "a spec of this release's CRD",
    }
}

fn key_of(scaler: &DynamicObject) -> Option<ScalerKey> {
    Some(ScalerKey {
        namespace: scaler.namespace()?,
        name: scaler.metadata.name.clone()?,
    })
}
