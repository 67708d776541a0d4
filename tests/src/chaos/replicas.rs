//! Every replica count that the target has, as the API server reports it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The changes of a Deployment's replica count, in order.
#[derive(Debug)]
pub(super) struct Replicas {
    seen: Arc<Mutex<Vec<i32>>>,
    _task: JoinSet<()>,
}

impl Replicas {
    /// Watches the Deployment `torchserve` of a namespace.
    pub(super) fn watch(client: Client, namespace: &str) -> Self {
        let seen = Arc::<Mutex<Vec<i32>>>::default();
        let mut task = JoinSet::new();
        let api = Api::<Deployment>::namespaced(client, namespace);
        let record = Arc::clone(&seen);
        task.spawn(async move {
            loop {
                let config = watcher::Config::default().fields("metadata.name=torchserve");
                let applied = watcher(api.clone(), config)
                    .default_backoff()
                    .applied_objects();
                let recorded = applied.try_for_each(|deployment| {
                    let replicas = deployment.spec.replicas;
                    let mut seen = record.lock().unwrap();
                    if let Some(replicas) = replicas
                        && seen.last() != Some(&replicas)
                    {
                        seen.push(replicas);
                    }
                    std::future::ready(Ok(()))
                });
                // The API server may be gone: that is one of the faults.
                recorded.await.ok();
                sleep(Duration::from_millis(200)).await;
            }
        });
        Self { seen, _task: task }
    }

    /// Returns the last count.
    pub(super) fn last(&self) -> Option<i32> {
        self.seen.lock().unwrap().last().copied()
    }

    /// Returns the changes since the last call, beginning with the count before them.
    pub(super) fn take(&self) -> Vec<i32> {
        let mut seen = self.seen.lock().unwrap();
        let last = seen.last().copied();
        std::mem::replace(&mut *seen, last.into_iter().collect())
    }
}
