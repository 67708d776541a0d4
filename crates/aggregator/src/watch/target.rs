//! One target: whatever changes about it, its scale is read again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{pods, tell};
use crate::event::{Event, WatchId};
use crate::kube_scale::{ClusterScales, told};
use crate::names::TargetRef;
use crate::scale_target::ScaleError;

/// A kind that is not known may be defined later: a CRD is applied after its PushScaler.
const TRY_KIND_AGAIN: Duration = Duration::from_secs(10);

/// Watches a target until aborted.
pub(super) async fn watch(
    client: Client,
    scales: Arc<ClusterScales>,
    target: TargetRef,
    watch: WatchId,
    events: mpsc::Sender<Event>,
) {
    let mut reports = Reports {
        client,
        scales: Arc::clone(&scales),
        target: target.clone(),
        watch,
        events,
        pods: None,
    };
    // Metadata alone: the size is read through /scale, whatever path this kind keeps it under.
    let api: Api<PartialObjectMeta<DynamicObject>> = loop {
        match scales.api(&target).await {
            Ok(api) => break api,
            Err(error) => reports.unreadable(error).await,
        }
        tokio::time::sleep(TRY_KIND_AGAIN).await;
    };
    let only = watcher::Config::default().fields(&format!("metadata.name={}", target.name));
    let mut stream = pin!(watcher(api, only).default_backoff());
    let mut listed = false;
    while let Some(next) = stream.next().await {
        match next {
            Ok(Watched::Init) => listed = false,
            Ok(Watched::InitApply(_)) => {
                listed = true;
                reports.read().await;
            }
            // Listed and not there: reading it makes the API server say so.
            Ok(Watched::InitDone) if !listed => reports.read().await,
            Ok(Watched::InitDone) => {}
            Ok(Watched::Apply(_) | Watched::Delete(_)) => reports.read().await,
            // What may not be listed may not be scaled either: its changes would not be seen.
            Err(watcher::Error::InitialListFailed(error)) => {
                reports.unreadable(told(&target, &error)).await;
            }
            Err(error) => {
                tracing::warn!(autoscaler = %reports.watch.scaler, %target, %error, "the watch of a target failed, trying again");
            }
        }
    }
}

struct Reports {
    client: Client,
    scales: Arc<ClusterScales>,
    target: TargetRef,
    watch: WatchId,
    events: mpsc::Sender<Event>,
    pods: Option<WatchedPods>,
}

struct WatchedPods {
    selector: String,
    task: AbortHandle,
}

impl Drop for WatchedPods {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reports {
    async fn read(&mut self) {
        match self.scales.read(&self.target).await {
            Ok(scale) => {
                self.follow(&scale.selector);
                let watch = self.watch.clone();
                let scale = Ok(scale);
                tell(&self.events, Event::TargetRead { watch, scale }).await;
            }
            Err(error) => self.unreadable(error).await,
        }
    }

    async fn unreadable(&mut self, error: ScaleError) {
        let watch = self.watch.clone();
        let scale = Err(error);
        tell(&self.events, Event::TargetRead { watch, scale }).await;
    }

    /// Watches the pods of this selector, unless they are watched already. An empty selector selects
    /// everything, and so nothing of ours.
    fn follow(&mut self, selector: &str) {
        let same = self.pods.as_ref().map(|pods| pods.selector.as_str());
        if same == Some(selector) {
            return;
        }
        self.pods = (!selector.is_empty()).then(|| WatchedPods {
            selector: selector.to_owned(),
            task: tokio::spawn(pods::watch(
                self.client.clone(),
                self.target.namespace.clone(),
                selector.to_owned(),
                self.watch.clone(),
                self.events.clone(),
            ))
            .abort_handle(),
        });
    }
}
