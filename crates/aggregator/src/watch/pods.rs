//! The watch of the pods under one target's selector.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Api, Client};
use pushscale_decision::{Phase, Pod, PodUid};
use tokio::sync::mpsc;

use super::send;
use crate::event::{DeletionFacts, Event, WatchId};
use crate::{deletion_cost, kube_error};

/// Watches the pods until aborted.
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
                let Some(event) = applied(&watch, &pod) else {
                    continue;
                };
                relisted.extend(pod.metadata.uid.map(PodUid::from));
                event
            }
            Ok(Watched::InitDone) => Event::PodsListed {
                watch: watch.clone(),
                uids: std::mem::take(&mut relisted),
            },
            Ok(Watched::Apply(pod)) => match applied(&watch, &pod) {
                Some(event) => event,
                None => continue,
            },
            Ok(Watched::Delete(pod)) => match pod.metadata.uid {
                Some(uid) => Event::PodDeleted {
                    watch: watch.clone(),
                    uid: uid.into(),
                },
                None => continue,
            },
            Err(watcher::Error::InitialListFailed(error)) => Event::PodListFailed {
                watch: watch.clone(),
                message: format!("{selector}: {}", kube_error::message(&error)),
            },
            Err(error) => {
                tracing::warn!(autoscaler = %watch.scaler, %error, "pod watch failed");
                continue;
            }
        };
        send(&events, event).await;
    }
}

/// `None` for a pod without a uid.
fn applied(watch: &WatchId, pod: &KubePod) -> Option<Event> {
    Some(Event::PodApplied {
        watch: watch.clone(),
        uid: pod.metadata.uid.clone()?.into(),
        pod: convert(pod),
        deletion: deletion_facts(pod),
    })
}

fn deletion_facts(pod: &KubePod) -> DeletionFacts {
    let created = pod.metadata.creation_timestamp.as_ref();
    let owners = pod.metadata.owner_references.iter().flatten();
    DeletionFacts {
        created: created.map(|created| created.0),
        honours_cost: owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| owner.kind == "ReplicaSet"),
        cost_owner: deletion_cost::owner(pod),
    }
}

fn convert(pod: &KubePod) -> Pod {
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
    Pod {
        name: pod.metadata.name.clone().unwrap_or_default().into(),
        phase,
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
    }
}
