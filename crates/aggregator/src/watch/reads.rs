//! Reads scales: one read per target at a time, and again with backoff after a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use pushscale_daemon::backoff::Backoff;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::event::WatchId;
use crate::metrics::{ApiRequest, Metrics};
use crate::names::TargetRef;
use crate::scale_target::{SCALE_BACKOFF, Scale, ScaleError, ScaleTarget, api_succeeded};

/// Maximum concurrent reads.
const MAX_CONCURRENT: usize = 32;

/// The reads in progress.
pub(super) struct Reads {
    scale_target: Arc<dyn ScaleTarget>,
    metrics: Metrics,
    limit: Arc<Semaphore>,
    reading: BTreeMap<WatchId, State>,
    futures: FuturesUnordered<BoxFuture<'static, Finished>>,
}

/// The result of a read.
pub(super) struct Finished {
    pub(super) watch: WatchId,
    pub(super) target: TargetRef,
    pub(super) start: Instant,
    pub(super) scale: Result<Scale, ScaleError>,
}

struct State {
    in_progress: bool,
    /// The target changed after the read began.
    again: bool,
    backoff: Backoff,
}

impl Default for State {
    fn default() -> Self {
        Self {
            in_progress: false,
            again: false,
            backoff: SCALE_BACKOFF,
        }
    }
}

impl Reads {
    pub(super) fn new(scale_target: Arc<dyn ScaleTarget>, metrics: Metrics) -> Self {
        Self {
            scale_target,
            metrics,
            limit: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            reading: BTreeMap::new(),
            futures: FuturesUnordered::new(),
        }
    }

    /// Reads the scale, after a read that is in progress.
    pub(super) fn request(&mut self, watch: WatchId, target: TargetRef) {
        let state = self.reading.entry(watch.clone()).or_default();
        if state.in_progress {
            state.again = true;
            return;
        }
        state.in_progress = true;
        self.read(watch, target, Duration::ZERO);
    }

    fn read(&self, watch: WatchId, target: TargetRef, delay: Duration) {
        let scale_target = Arc::clone(&self.scale_target);
        let limit = Arc::clone(&self.limit);
        let metrics = self.metrics.clone();
        self.futures.push(Box::pin(async move {
            sleep(delay).await;
            let permit = limit.acquire().await;
            let start = Instant::now();
            let scale = scale_target.read(&target).await;
            metrics.api_request_ended(ApiRequest::ScaleRead, start, api_succeeded(&scale));
            drop(permit);
            Finished {
                watch,
                target,
                start,
                scale,
            }
        }));
    }

    /// Waits for the next result; pends while nothing is read. [`Self::finish`] must follow.
    pub(super) async fn next(&mut self) -> Finished {
        match self.futures.next().await {
            Some(finished) => finished,
            None => std::future::pending().await,
        }
    }

    /// Ends a read. Reads again if it failed or the target has changed in between, unless its watch ended.
    pub(super) fn finish(
        &mut self,
        watch: WatchId,
        target: TargetRef,
        succeeded: bool,
        ended: bool,
    ) {
        if ended {
            self.reading.remove(&watch);
            return;
        }
        let state = self.reading.entry(watch.clone()).or_default();
        let again = std::mem::take(&mut state.again);
        if succeeded {
            state.backoff.reset();
            state.in_progress = again;
            if again {
                self.read(watch, target, Duration::ZERO);
            } else {
                self.reading.remove(&watch);
            }
            return;
        }
        let delay = state.backoff.next_delay();
        self.read(watch, target, delay);
    }
}
