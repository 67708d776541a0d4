//! Brings the CA to sidecars: as a ConfigMap in every namespace, since a pod can mount no other namespace's.

mod queue;

use std::pin::pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use pushscale_protocol::CA_CONFIG_MAP;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::queue::{Outcome, PublishQueue, Wanted};
use crate::Newest;
use crate::kube_error::{TIMED_OUT, message};
use crate::metrics::CertificateMetrics;
use crate::owner::{self, Owner};
use crate::secrets::{FIELD_MANAGER, TIMEOUT};

/// Writes under way at a time: the API server has better things to do.
const AT_A_TIME: usize = 8;

/// Publishes for ever.
pub(crate) async fn run(
    client: Client,
    namespace: Option<String>,
    mut issued: Newest,
    mut owner: watch::Receiver<Owner>,
    metrics: CertificateMetrics,
) {
    let mut namespaces = pin!(
        watcher(
            Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
            selected(namespace.as_deref()),
        )
        .default_backoff()
    );
    let config_maps = match &namespace {
        Some(namespace) => Api::<ConfigMap>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut config_maps =
        pin!(watcher(config_maps, selected(Some(CA_CONFIG_MAP))).default_backoff());
    let mut board = PublishQueue::default();
    let mut writing = FuturesUnordered::new();
    loop {
        while writing.len() < AT_A_TIME {
            let Some((namespace, config_map)) = board.next(Instant::now()) else {
                break;
            };
            writing.push(write(&client, namespace, config_map));
        }
        let wake = board.wake().filter(|_| writing.len() < AT_A_TIME);
        tokio::select! {
            Some(next) = namespaces.next() => match next {
                Ok(event) => board.namespace_event(event),
                Err(error) => tracing::warn!(%error, "the watch of namespaces failed, trying again"),
            },
            Some(next) = config_maps.next() => match next {
                Ok(event) => board.config_map_event(event),
                Err(error) => tracing::warn!(%error, "the watch of ConfigMaps failed, trying again"),
            },
            Some((namespace, outcome)) = writing.next() => {
                board.written(&namespace, outcome, &metrics);
            }
            Ok(()) = issued.changed() => board.want(wanted(&issued, &owner)),
            () = owner::changed(&mut owner) => board.want(wanted(&issued, &owner)),
            () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

fn selected(name: Option<&str>) -> watcher::Config {
    let config = watcher::Config::default();
    match name {
        Some(name) => config.fields(&format!("metadata.name={name}")),
        None => config,
    }
}

fn wanted(issued: &Newest, owner: &watch::Receiver<Owner>) -> Option<Wanted> {
    let bundle = issued.borrow().as_ref()?.ca_bundle_pem.clone();
    let owners = owner.borrow().references()?;
    Some(Wanted::new(bundle, owners))
}

async fn write(client: &Client, namespace: String, config_map: ConfigMap) -> (String, Outcome) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    // By force: whoever else wrote these fields did not mean to publish our CA.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(config_map);
    let outcome = match timeout(TIMEOUT, api.patch(CA_CONFIG_MAP, &params, &patch)).await {
        Ok(Ok(found)) => Outcome::Written(Box::new(found)),
        Ok(Err(error)) if is_closed(&error) => Outcome::Closed,
        Ok(Err(error)) => Outcome::Failed(message(&error)),
        Err(_) => Outcome::Failed(TIMED_OUT.to_owned()),
    };
    (namespace, outcome)
}

fn is_closed(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found()
        || causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}
