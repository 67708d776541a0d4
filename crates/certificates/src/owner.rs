//! Watches the owner of everything that is written: a ClusterRole of the chart. When an uninstall deletes it, the
//! garbage collector removes everything it owns, in every namespace, and this program stops writing.

use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, Resource as _};
use pushscale_daemon::error::chain;
use pushscale_daemon::tasks::Tasks;
use tokio::sync::watch;

/// The owner of everything that is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owner {
    /// The ClusterRole has not been read yet, so nothing is written.
    Unknown,
    /// There is no owner, so written objects stay after an uninstall.
    None,
    /// The ClusterRole exists.
    Exists(Box<OwnerReference>),
    /// The ClusterRole was deleted. Nothing is written, since it would never be removed.
    Deleted,
}

impl Owner {
    /// Returns the owner references to write; `None` if nothing may be written.
    pub(crate) fn references(&self) -> Option<Vec<OwnerReference>> {
        match self {
            Self::Unknown | Self::Deleted => None,
            Self::None => Some(Vec::new()),
            Self::Exists(owner) => Some(vec![OwnerReference::clone(owner)]),
        }
    }
}

/// Starts to watch the ClusterRole of this name, if any.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    name: Option<&str>,
) -> watch::Receiver<Owner> {
    let Some(name) = name else {
        // The receiver keeps its value without the sender. [`changed`] handles the closed channel.
        return watch::channel(Owner::None).1;
    };
    let (sender, receiver) = watch::channel(Owner::Unknown);
    tasks.spawn_endless("owner watch", run(client.clone(), name.to_owned(), sender));
    receiver
}

/// Waits for a change of the owner; forever if there is no ClusterRole to watch.
pub(crate) async fn changed(owner: &mut watch::Receiver<Owner>) {
    if owner.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn run(client: Client, name: String, owner: watch::Sender<Owner>) {
    let api: Api<PartialObjectMeta<ClusterRole>> = Api::all(client);
    let mut stream = pin!(watch_object(api, &name).default_backoff());
    while let Some(next) = stream.next().await {
        let before = owner.borrow().clone();
        let now = match next {
            Ok(Some(found)) => reference(&name, &found),
            Ok(None) if matches!(before, Owner::Exists(_) | Owner::Deleted) => {
                tracing::warn!(cluster_role = %name, "ClusterRole deleted, publishing stopped");
                Some(Owner::Deleted)
            }
            Ok(None) => {
                tracing::warn!(cluster_role = %name, "ClusterRole not found: published objects will stay after an uninstall; set OWNER");
                Some(Owner::None)
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.is_forbidden() && before == Owner::Unknown =>
            {
                tracing::warn!(cluster_role = %name, error = status.message, "not allowed to read the ClusterRole: published objects will stay after an uninstall");
                Some(Owner::None)
            }
            Err(error) => {
                tracing::warn!(cluster_role = %name, error = %chain(&error), "owner watch failed, retrying");
                None
            }
        };
        if let Some(now) = now {
            owner.send_if_modified(|current| {
                let differs = *current != now;
                *current = now;
                differs
            });
        }
    }
}

fn reference(name: &str, found: &PartialObjectMeta<ClusterRole>) -> Option<Owner> {
    Some(Owner::Exists(Box::new(OwnerReference {
        api_version: ClusterRole::api_version(&()).into_owned(),
        kind: ClusterRole::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: found.metadata.uid.clone()?,
        ..OwnerReference::default()
    })))
}
