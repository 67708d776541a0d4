//! The watch of PushScalers. Each PushScaler has a watch of its target, which has a watch of the target's pods.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Client, ResourceExt as _};
use pushscale_api::{PushScaler, PushScalerSpec, Schedules, policy_of};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{send, targets};
use crate::event::{Event, ScalerFacts, WatchId};
use crate::kube_scale::KubeScaleTarget;
use crate::names::{ScalerKey, TargetRef};
use crate::status::restore;

pub(super) async fn watch(client: Client, namespace: Option<String>, events: mpsc::Sender<Event>) {
    let api = super::api::<PushScaler>(&client, namespace.as_deref());
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
    async fn apply(&mut self, scaler: PushScaler) {
        let Some(key) = key_of(&scaler) else { return };
        let target = TargetRef {
            namespace: key.namespace.clone(),
            api_version: scaler.spec.scale_target_ref.api_version.clone(),
            kind: scaler.spec.scale_target_ref.kind.clone(),
            name: scaler.spec.scale_target_ref.name.clone(),
        };
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
        let restored = restore(scaler.status.as_ref());
        let facts = ScalerFacts {
            key: key.clone(),
            uid: uid.clone(),
            generation: scaler.metadata.generation,
            target: target.clone(),
            watch: watch.clone(),
            policy: policy_of(&scaler.spec),
            spec: Some(Arc::new(scaler.spec.clone())),
            schedules: schedules_of(&scaler.spec),
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

fn key_of(scaler: &PushScaler) -> Option<ScalerKey> {
    Some(ScalerKey {
        namespace: scaler.namespace()?,
        name: scaler.metadata.name.clone()?,
    })
}
