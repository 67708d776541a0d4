//! The watch of HorizontalPodAutoscalers. Two autoscalers with one target overwrite each other's replica counts.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Client, ResourceExt as _};
use tokio::sync::mpsc;

use super::send;
use crate::event::{CompetingHpa, Event};
use crate::names::{ScalerKey, TargetRef};

pub(super) async fn watch(client: Client, namespace: Option<String>, events: mpsc::Sender<Event>) {
    let api = super::api::<HorizontalPodAutoscaler>(&client, namespace.as_deref());
    let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut relisted = BTreeSet::new();
    while let Some(next) = stream.next().await {
        let event = match next {
            Ok(Watched::Init) => {
                relisted.clear();
                continue;
            }
            Ok(Watched::InitApply(hpa)) => {
                let Some(hpa) = competing_hpa(&hpa) else {
                    continue;
                };
                relisted.insert(hpa.key.clone());
                Event::HpaApplied(hpa)
            }
            Ok(Watched::InitDone) => Event::HpasListed(std::mem::take(&mut relisted)),
            Ok(Watched::Apply(hpa)) => match competing_hpa(&hpa) {
                Some(hpa) => Event::HpaApplied(hpa),
                None => continue,
            },
            Ok(Watched::Delete(hpa)) => match key_of(&hpa) {
                Some(key) => Event::HpaDeleted(key),
                None => continue,
            },
            Err(error) => {
                tracing::warn!(%error, "HorizontalPodAutoscaler watch failed");
                continue;
            }
        };
        send(&events, event).await;
    }
}

fn competing_hpa(hpa: &HorizontalPodAutoscaler) -> Option<CompetingHpa> {
    let key = key_of(hpa)?;
    let reference = &hpa.spec.scale_target_ref;
    let target = TargetRef {
        namespace: key.namespace.clone(),
        api_version: reference.api_version.clone().unwrap_or_default(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
    };
    Some(CompetingHpa { key, target })
}

fn key_of(hpa: &HorizontalPodAutoscaler) -> Option<ScalerKey> {
    Some(ScalerKey {
        namespace: hpa.namespace()?,
        name: hpa.metadata.name.clone()?,
    })
}
