//! PushScalers. Each brings along a watch of its target, and that one a watch of the target's pods.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Client, ResourceExt as _};
use pushscale_api::{PushScaler, PushScalerSpec, Schedules, policy_of};
use pushscale_daemon::readiness::ReadinessLatch;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{target, tell};
use crate::event::{Event, ScalerFacts, WatchId};
use crate::kube_scale::ClusterScales;
use crate::names::{ScalerKey, TargetRef};
use crate::status::before_restart;

pub(super) async fn watch(
    client: Client,
    namespace: Option<String>,
    events: mpsc::Sender<Event>,
    listed: ReadinessLatch,
) {
    let mut listed = Some(listed);
    let api = super::api::<PushScaler>(&client, namespace.as_deref());
    let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut eyes = Eyes {
        scales: Arc::new(ClusterScales::new(client.clone())),
        client,
        events,
        open: BTreeMap::new(),
        number: 0,
    };
    let mut relisted = BTreeSet::new();
    while let Some(next) = stream.next().await {
        match next {
            Ok(Watched::Init) => relisted.clear(),
            Ok(Watched::InitApply(scaler)) => {
                relisted.extend(key_of(&scaler));
                eyes.apply(scaler).await;
            }
            Ok(Watched::InitDone) => {
                eyes.open.retain(|key, open| {
                    let stays = relisted.contains(key);
                    if !stays {
                        open.task.abort();
                    }
                    stays
                });
                let all = std::mem::take(&mut relisted);
                tell(&eyes.events, Event::ScalersListed(all)).await;
                listed.take();
            }
            Ok(Watched::Apply(scaler)) => eyes.apply(scaler).await,
            Ok(Watched::Delete(scaler)) => {
                if let Some(key) = key_of(&scaler) {
                    if let Some(open) = eyes.open.remove(&key) {
                        open.task.abort();
                    }
                    tell(&eyes.events, Event::ScalerGone(key)).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the watch of PushScalers failed, trying again"),
        }
    }
}

/// The watches of the targets.
struct Eyes {
    client: Client,
    scales: Arc<ClusterScales>,
    events: mpsc::Sender<Event>,
    open: BTreeMap<ScalerKey, Open>,
    number: u64,
}

struct Open {
    target: TargetRef,
    watch: WatchId,
    task: AbortHandle,
}

impl Eyes {
    async fn apply(&mut self, scaler: PushScaler) {
        let Some(key) = key_of(&scaler) else { return };
        let target = TargetRef {
            namespace: key.namespace.clone(),
            api_version: scaler.spec.scale_target_ref.api_version.clone(),
            kind: scaler.spec.scale_target_ref.kind.clone(),
            name: scaler.spec.scale_target_ref.name.clone(),
        };
        let seen = self.open.get(&key).filter(|open| open.target == target);
        let watch = match seen {
            Some(open) => open.watch.clone(),
            None => {
                self.number += 1;
                WatchId {
                    scaler: key.clone(),
                    number: self.number,
                }
            }
        };
        let opened = seen.is_none();
        let before = before_restart(scaler.status.as_ref());
        let facts = ScalerFacts {
            key: key.clone(),
            uid: scaler.uid().unwrap_or_default(),
            generation: scaler.metadata.generation,
            target: target.clone(),
            watch: watch.clone(),
            policy: policy_of(&scaler.spec),
            spec: Some(Arc::new(scaler.spec.clone())),
            schedules: schedules_of(&scaler.spec),
            conditions: before.conditions,
            last_scale_time: before.last_scale_time,
            transitions: before.transitions,
        };
        // First the scaler, then what is seen of its target: the loop drops news of watches it does not know.
        tell(&self.events, Event::ScalerApplied(Box::new(facts))).await;
        if opened {
            let task = tokio::spawn(target::watch(
                self.client.clone(),
                Arc::clone(&self.scales),
                target.clone(),
                watch.clone(),
                self.events.clone(),
            ));
            let open = Open {
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

/// Mistakes in them are among the policy's.
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
