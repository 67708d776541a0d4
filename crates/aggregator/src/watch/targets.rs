//! The watch of one target. Its scale is read after every change, again after a failed read, and every few minutes: a
//! missed event must not leave a scaler with an old replica count.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::StreamExt as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use kube::runtime::{WatchStreamExt as _, watcher::Event as Watched};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{pods, send};
use crate::event::{Event, WatchId};
use crate::kube_scale::{KubeScaleTarget, scale_error};
use crate::names::TargetRef;
use crate::scale_target::{ScaleError, ScaleTarget as _};

/// Interval between lookups of an unknown kind. Its CRD may be applied after the PushScaler.
const KIND_RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Interval between reads without a change. With a thousand targets it is three reads per second.
const RESYNC_INTERVAL: Duration = Duration::from_secs(300);

/// Backoff after a failed read. The HPA reads again at its next sync, after 15 s.
const READ_BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(MAX_READ_BACKOFF)
    .without_max_times()
    .with_jitter();

const MAX_READ_BACKOFF: Duration = Duration::from_secs(15);

/// Watches the target until aborted.
pub(super) async fn watch(
    client: Client,
    scales: Arc<KubeScaleTarget>,
    target: TargetRef,
    watch: WatchId,
    events: mpsc::Sender<Event>,
) {
    let mut target_watch = TargetWatch {
        client,
        scales: Arc::clone(&scales),
        target: target.clone(),
        watch,
        events,
        pods: None,
        backoff: None,
        next_read: Instant::now() + RESYNC_INTERVAL,
    };
    // Metadata is enough: the replica count is read through /scale, whatever field the kind keeps it in.
    let api: Api<PartialObjectMeta<DynamicObject>> = loop {
        match scales.api(&target).await {
            Ok(api) => break api,
            Err(error) => target_watch.unreadable(error).await,
        }
        tokio::time::sleep(KIND_RETRY_INTERVAL).await;
    };
    let config = watcher::Config::default().fields(&format!("metadata.name={}", target.name));
    let mut stream = pin!(watcher(api, config).default_backoff());
    let mut listed = false;
    loop {
        let next_read = target_watch.next_read;
        let next = tokio::select! {
            next = stream.next() => next,
            () = tokio::time::sleep_until(next_read) => {
                target_watch.read().await;
                continue;
            }
        };
        let Some(next) = next else { return };
        match next {
            Ok(Watched::Init) => listed = false,
            Ok(Watched::InitApply(_)) => {
                listed = true;
                target_watch.read().await;
            }
            // The target does not exist; reading it yields the error.
            Ok(Watched::InitDone) if !listed => target_watch.read().await,
            Ok(Watched::InitDone) => {}
            Ok(Watched::Apply(_) | Watched::Delete(_)) => target_watch.read().await,
            // A target that cannot be listed cannot be scaled, because its changes would be missed.
            Err(watcher::Error::InitialListFailed(error)) => {
                target_watch.unreadable(scale_error(&target, &error)).await;
            }
            Err(error) => {
                tracing::warn!(autoscaler = %target_watch.watch.scaler, %target, %error, "target watch failed");
            }
        }
    }
}

struct TargetWatch {
    client: Client,
    scales: Arc<KubeScaleTarget>,
    target: TargetRef,
    watch: WatchId,
    events: mpsc::Sender<Event>,
    pods: Option<WatchedPods>,
    backoff: Option<ExponentialBackoff>,
    next_read: Instant,
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

impl TargetWatch {
    async fn read(&mut self) {
        match self.scales.read(&self.target).await {
            Ok(scale) => {
                self.backoff = None;
                self.next_read = Instant::now() + RESYNC_INTERVAL;
                self.watch_pods(&scale.selector);
                let watch = self.watch.clone();
                let scale = Ok(scale);
                send(&self.events, Event::TargetRead { watch, scale }).await;
            }
            Err(error) => self.unreadable(error).await,
        }
    }

    /// Reports the error and schedules another read.
    async fn unreadable(&mut self, error: ScaleError) {
        let backoff = self.backoff.get_or_insert_with(|| READ_BACKOFF.build());
        self.next_read = Instant::now() + backoff.next().unwrap_or(MAX_READ_BACKOFF);
        let watch = self.watch.clone();
        let scale = Err(error);
        send(&self.events, Event::TargetRead { watch, scale }).await;
    }

    /// Watches the pods of this selector, unless they are watched already. An empty selector would select all pods
    /// of the namespace, so it is not watched.
    fn watch_pods(&mut self, selector: &str) {
        let watched = self.pods.as_ref().map(|pods| pods.selector.as_str());
        if watched == Some(selector) {
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
