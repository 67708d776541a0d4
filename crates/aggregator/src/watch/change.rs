//! The changes that a watch reports.

use std::fmt::Debug;
use std::pin::pin;

use futures_util::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::Input;
use crate::metrics::WatchMetric;

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
    /// The objects cannot be listed, and what is known may be wrong.
    Failed(String),
}

/// Sends all changes of the objects behind `api`, trimmed by `trim`, until aborted. Objects for which `trim` returns
/// `None` are left out.
pub(super) async fn watch<K, T>(
    metric: WatchMetric,
    api: Api<K>,
    inputs: mpsc::Sender<Input>,
    trim: impl Fn(K) -> Option<T>,
    input: impl Fn(Change<T>) -> Input,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut stream = pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(next) = stream.next().await {
        if next.is_ok() {
            metric.event();
        } else {
            metric.restarted();
        }
        let kind = metric.kind();
        let change = match next {
            Ok(watcher::Event::Init) => Some(Change::Listing),
            Ok(watcher::Event::InitApply(object)) => trim(object).map(Change::Listed),
            Ok(watcher::Event::InitDone) => Some(Change::ListDone),
            Ok(watcher::Event::Apply(object)) => trim(object).map(Change::Applied),
            Ok(watcher::Event::Delete(object)) => trim(object).map(Change::Deleted),
            Err(watcher::Error::InitialListFailed(error)) => {
                let error = pushscale_kubernetes::message(&error);
                tracing::warn!(kind, error, "failed to list objects");
                Some(Change::Failed(error))
            }
            // The watch is started again, from where it was or with a new list.
            Err(error) => {
                tracing::debug!(kind, %error, "watch failed");
                None
            }
        };
        if let Some(change) = change
            && inputs.send(input(change)).await.is_err()
        {
            return;
        }
    }
}
