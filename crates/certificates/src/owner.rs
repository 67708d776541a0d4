//! Who owns what is written. A ClusterRole is of the chart's making and goes with an uninstall; the garbage collector
//! then removes all that it owns, in every namespace, and the aggregator may write nothing more.

use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client, Resource as _};
use pushscale_daemon::tasks::Tasks;
use tokio::sync::watch;

/// What is known of the owner.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Owner {
    /// Not asked yet: nothing is written.
    Unknown,
    /// There is none: what is written stays.
    Nobody,
    /// This one.
    Is(Box<OwnerReference>),
    /// It was there and went: what is written now would stay for ever, so nothing is.
    Gone,
}

impl Owner {
    /// Who is written as the owner; `None`: nothing may be written now.
    pub(crate) fn references(&self) -> Option<Vec<OwnerReference>> {
        match self {
            Self::Unknown | Self::Gone => None,
            Self::Nobody => Some(Vec::new()),
            Self::Is(owner) => Some(vec![OwnerReference::clone(owner)]),
        }
    }
}

/// Watches the ClusterRole of this name, if any.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    name: Option<&str>,
) -> watch::Receiver<Owner> {
    let Some(name) = name else {
        // A receiver keeps its last value when the sender is gone; `changed` is asked through `follow` alone.
        return watch::channel(Owner::Nobody).1;
    };
    let (sender, receiver) = watch::channel(Owner::Unknown);
    tasks.spawn(
        "the watch of the owner",
        run(client.clone(), name.to_owned(), sender),
    );
    receiver
}

/// Waits for a change; for ever, if none can come.
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
            Ok(None) if matches!(before, Owner::Is(_) | Owner::Gone) => {
                tracing::warn!(cluster_role = %name, "the owner of all certificates is gone: nothing is published any more");
                Some(Owner::Gone)
            }
            Ok(None) => {
                tracing::warn!(cluster_role = %name, "there is no such ClusterRole: what is published will stay after an uninstall; set OWNER");
                Some(Owner::Nobody)
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status)))
                if status.is_forbidden() && before == Owner::Unknown =>
            {
                tracing::warn!(cluster_role = %name, error = status.message, "the owner may not be read: what is published will stay after an uninstall");
                Some(Owner::Nobody)
            }
            Err(error) => {
                tracing::warn!(cluster_role = %name, %error, "the watch of the owner failed, trying again");
                None
            }
        };
        if let Some(now) = now {
            owner.send_if_modified(|held| {
                let other = *held != now;
                *held = now;
                other
            });
        }
    }
}

fn reference(name: &str, found: &PartialObjectMeta<ClusterRole>) -> Option<Owner> {
    Some(Owner::Is(Box::new(OwnerReference {
        api_version: ClusterRole::api_version(&()).into_owned(),
        kind: ClusterRole::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: found.metadata.uid.clone()?,
        ..OwnerReference::default()
    })))
}
