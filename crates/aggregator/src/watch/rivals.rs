//! HorizontalPodAutoscalers: two autoscalers on one target write each other's sizes away, as fast as they can.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Client, ResourceExt as _};
use tokio::sync::mpsc;

use super::tell;
use crate::event::{Event, Rival};
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
                let Some(rival) = rival(&hpa) else { continue };
                relisted.insert(rival.key.clone());
                Event::RivalApplied(rival)
            }
            Ok(Watched::InitDone) => Event::RivalsListed(std::mem::take(&mut relisted)),
            Ok(Watched::Apply(hpa)) => match rival(&hpa) {
                Some(rival) => Event::RivalApplied(rival),
                None => continue,
            },
            Ok(Watched::Delete(hpa)) => match key_of(&hpa) {
                Some(key) => Event::RivalGone(key),
                None => continue,
            },
            Err(error) => {
                tracing::warn!(%error, "the watch of HorizontalPodAutoscalers failed, trying again");
                continue;
            }
        };
        tell(&events, event).await;
    }
}

fn rival(hpa: &HorizontalPodAutoscaler) -> Option<Rival> {
    let key = key_of(hpa)?;
    let reference = &hpa.spec.scale_target_ref;
    let target = TargetRef {
        namespace: key.namespace.clone(),
        api_version: reference.api_version.clone().unwrap_or_default(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
    };
    Some(Rival { key, target })
}

fn key_of(hpa: &HorizontalPodAutoscaler) -> Option<ScalerKey> {
    Some(ScalerKey {
        namespace: hpa.namespace()?,
        name: hpa.metadata.name.clone()?,
    })
}
