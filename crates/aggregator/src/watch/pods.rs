//! The pods under one target's selector.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Api, Client};
use pushscale_decision::{Phase, Pod, PodUid};
use tokio::sync::mpsc;

use super::tell;
use crate::deletion_cost;
use crate::event::{Event, Standing, WatchId};
use crate::kube_scale::said;

/// Watches until aborted.
pub(super) async fn watch(
    client: Client,
    namespace: String,
    selector: String,
    watch: WatchId,
    events: mpsc::Sender<Event>,
) {
    let api: Api<KubePod> = Api::namespaced(client, &namespace);
    let selected = watcher::Config::default().labels(&selector);
    let mut stream = pin!(watcher(api, selected).default_backoff());
    let mut relisted = BTreeSet::new();
    while let Some(next) = stream.next().await {
        let event = match next {
            Ok(Watched::Init) => {
                relisted.clear();
                continue;
            }
            Ok(Watched::InitApply(pod)) => {
                let standing = standing(&pod);
                let Some((uid, pod)) = neutral(&pod) else {
                    continue;
                };
                relisted.insert(uid.clone());
                applied(&watch, uid, pod, standing)
            }
            Ok(Watched::InitDone) => Event::PodsListed {
                watch: watch.clone(),
                uids: std::mem::take(&mut relisted),
            },
            Ok(Watched::Apply(pod)) => match neutral(&pod) {
                Some((uid, neutral)) => applied(&watch, uid, neutral, standing(&pod)),
                None => continue,
            },
            Ok(Watched::Delete(pod)) => match pod.metadata.uid {
                Some(uid) => Event::PodGone {
                    watch: watch.clone(),
                    uid: uid.into(),
                },
                None => continue,
            },
            Err(watcher::Error::InitialListFailed(error)) => Event::PodsUnlistable {
                watch: watch.clone(),
                message: format!("{selector}: {}", said(&error)),
            },
            Err(error) => {
                tracing::warn!(autoscaler = %watch.scaler, %error, "the watch of pods failed, trying again");
                continue;
            }
        };
        tell(&events, event).await;
    }
}

fn applied(watch: &WatchId, uid: PodUid, pod: Pod, standing: Standing) -> Event {
    Event::PodApplied {
        watch: watch.clone(),
        uid,
        pod,
        standing,
    }
}

fn standing(pod: &KubePod) -> Standing {
    let created = pod.metadata.creation_timestamp.as_ref();
    let owners = pod.metadata.owner_references.iter().flatten();
    Standing {
        created: created.map(|created| created.0),
        asked_for: owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| owner.kind == "ReplicaSet"),
        cost: deletion_cost::whose(pod),
    }
}

fn neutral(pod: &KubePod) -> Option<(PodUid, Pod)> {
    let uid = pod.metadata.uid.clone()?;
    let status = pod.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    };
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
    let pod = Pod {
        name: pod.metadata.name.clone().unwrap_or_default().into(),
        phase,
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
    };
    Some((uid.into(), pod))
}
