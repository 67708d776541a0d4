//! The changes that a watch reports.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::core::Status;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource};
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_kubernetes::message;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::WatchMetric;

/// Timeout of each page of a list: the API server's own. The client's timeout does not end a response that trickles. A
/// watch has that timeout only, because no event may be due for a long time.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// A change of a list of objects. Objects are trimmed to the fields in use.
#[derive(Debug)]
pub(super) enum Change<T> {
    /// A list begins.
    Listing,
    /// An object of the list.
    Listed(T),
    /// The list is complete: all other objects were deleted.
    ListDone,
    /// An object was created or changed.
    Applied(T),
    /// An object was deleted. Its last state.
    Deleted(T),
    /// The objects cannot be listed or may not be watched, and what is known may be wrong.
    Failed(String),
}

/// Sends all changes of the objects behind `api`, trimmed by `trim` and wrapped by `input`, until aborted; also if the
/// API server does not know their kind yet. Objects for which `trim` returns `None` are left out.
pub(super) async fn watch<K, T, I>(
    metric: WatchMetric,
    api: Api<K>,
    inputs: mpsc::Sender<I>,
    trim: impl Fn(K) -> Option<T>,
    input: impl Fn(Change<T>) -> I,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let ends = |_: &kube::Error| false;
    watch_until(ends, metric, api, inputs, trim, input).await;
}

/// Like [`watch`], but ends after a failure for which `ends` returns true.
pub(super) async fn watch_until<K, T, I>(
    ends: impl Fn(&kube::Error) -> bool,
    metric: WatchMetric,
    api: Api<K>,
    inputs: mpsc::Sender<I>,
    trim: impl Fn(K) -> Option<T>,
    input: impl Fn(Change<T>) -> I,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let start = || watcher(api.clone(), watcher::Config::default()).boxed();
    let mut stream = start();
    let mut backoff = watcher::DefaultBackoff::default();
    let failure_log = LogLimiter::default();
    // Whether the watch may be forbidden although the list is not. If so, a successful list does not prove that changes
    // arrive.
    let mut is_blind = false;
    let mut is_listing = true;
    loop {
        let next = if is_listing {
            timeout(LIST_TIMEOUT, stream.next()).await
        } else {
            Ok(stream.next().await)
        };
        let next = match next {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(_) => {
                stream = start();
                Err(watcher::Error::InitialListFailed(list_timed_out()))
            }
        };
        let kind = metric.kind();
        let failed = next.is_err();
        let mut is_last = false;
        if let Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_)) = next {
            metric.event();
            backoff.reset();
            is_blind = false;
        }
        let change = match next {
            // Each attempt to list begins with this, also one that fails.
            Ok(watcher::Event::Init) => {
                is_listing = true;
                Some(Change::Listing)
            }
            Ok(watcher::Event::InitApply(object)) => trim(object).map(Change::Listed),
            // The backoff is not reset, because the watch that follows may fail each time. kube resets it after two
            // minutes without a failure.
            Ok(watcher::Event::InitDone) => {
                is_listing = false;
                if !is_blind {
                    metric.event();
                }
                Some(Change::ListDone)
            }
            Ok(watcher::Event::Apply(object)) => trim(object).map(Change::Applied),
            Ok(watcher::Event::Delete(object)) => trim(object).map(Change::Deleted),
            Err(error) => {
                metric.restarted();
                let reported = match &error {
                    watcher::Error::InitialListFailed(error) => Some(error),
                    watcher::Error::WatchStartFailed(error) if is_forbidden(error) => {
                        // A watch that continued once it is allowed would not report that the failure is over.
                        stream = start();
                        is_blind = true;
                        Some(error)
                    }
                    watcher::Error::WatchStartFailed(error) if ends(error) => Some(error),
                    // The watch is started again, from where it was or with a new list.
                    error => {
                        tracing::debug!(kind, %error, "watch failed");
                        None
                    }
                };
                is_last = reported.is_some_and(&ends);
                let error = reported.map(message);
                if let Some(error) = &error
                    && let Some(left_out) = failure_log.allow(Instant::now().into_std())
                {
                    tracing::warn!(kind, error, left_out, "failed to list or watch objects");
                }
                error.map(Change::Failed)
            }
        };
        if let Some(change) = change
            && inputs.send(input(change)).await.is_err()
        {
            return;
        }
        if is_last {
            return;
        }
        if failed {
            sleep(backoff.next().unwrap_or_default()).await;
        }
    }
}

fn list_timed_out() -> kube::Error {
    let message = format!("the list took more than {LIST_TIMEOUT:?}");
    let status = Status::failure(&message, "Timeout").with_code(504);
    kube::Error::Api(status.boxed())
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden())
}
