//! Publishes the CA to sidecars: as a ConfigMap in every namespace, since a pod can only mount those of its own.
//! A label of a namespace opts out.

mod queue;

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use pushscale_daemon::error::chain;
use pushscale_kubernetes::{RequestError, request};
use pushscale_protocol::{CA_CONFIG_MAP, CA_LABEL};
use tokio::sync::watch;
use tokio::time::Instant;

use self::queue::{Content, Outcome, PublishQueue};
use crate::bundle::{NewestBundle, Publication};
use crate::metrics::CertificateMetrics;
use crate::owner::{self, Owner};
use crate::secrets::{FIELD_MANAGER, TIMEOUT};

/// The maximum number of concurrent writes, to limit the load of the API server.
const MAX_CONCURRENT_WRITES: usize = 8;

/// Runs the publisher, and reports the publication of the newest bundle. Never returns.
pub(crate) async fn run(
    client: Client,
    namespace: Option<String>,
    mut newest: NewestBundle,
    mut owner: watch::Receiver<Owner>,
    metrics: CertificateMetrics,
    published: watch::Sender<Option<Publication>>,
) {
    let mut namespaces = pin!(
        watcher(
            Api::<PartialObjectMeta<Namespace>>::all(client.clone()),
            by_name(namespace.as_deref()).labels(&format!("{CA_LABEL}!=disabled")),
        )
        .default_backoff()
    );
    let config_maps = match &namespace {
        Some(namespace) => Api::<ConfigMap>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut config_maps =
        pin!(watcher(config_maps, by_name(Some(CA_CONFIG_MAP))).default_backoff());
    let mut queue = PublishQueue::default();
    let mut writing = FuturesUnordered::new();
    loop {
        while writing.len() < MAX_CONCURRENT_WRITES {
            let Some((namespace, config_map)) = queue.next(Instant::now()) else {
                break;
            };
            writing.push(write(&client, namespace, config_map));
        }
        report(queue.publication(SystemTime::now()), &published);
        let next_due = queue
            .next_due()
            .filter(|_| writing.len() < MAX_CONCURRENT_WRITES);
        tokio::select! {
            Some(next) = namespaces.next() => match next {
                Ok(event) => queue.namespace_event(event),
                Err(error) => tracing::warn!(error = %chain(&error), "namespace watch failed, retrying"),
            },
            Some(next) = config_maps.next() => match next {
                Ok(event) => queue.config_map_event(event),
                Err(error) => tracing::warn!(error = %chain(&error), "ConfigMap watch failed, retrying"),
            },
            Some((namespace, outcome)) = writing.next() => {
                queue.finish(&namespace, outcome, &metrics);
            }
            Ok(()) = newest.changed() => queue.set_content(content(&newest, &owner)),
            () = owner::changed(&mut owner) => queue.set_content(content(&newest, &owner)),
            () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {}
        }
    }
}

fn report(publication: Option<&Publication>, published: &watch::Sender<Option<Publication>>) {
    published.send_if_modified(|current| {
        let differs = current.as_ref() != publication;
        if differs {
            *current = publication.cloned();
        }
        differs
    });
}

fn by_name(name: Option<&str>) -> watcher::Config {
    let config = watcher::Config::default();
    match name {
        Some(name) => config.fields(&format!("metadata.name={name}")),
        None => config,
    }
}

fn content(newest: &NewestBundle, owner: &watch::Receiver<Owner>) -> Option<Content> {
    let bundle = Arc::clone(newest.borrow().as_ref()?);
    let owners = owner.borrow().references()?;
    Some(Content::new(bundle, owners))
}

async fn write(client: &Client, namespace: String, config_map: ConfigMap) -> (String, Outcome) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    // Forced, since no other client can own the fields of this ConfigMap.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(config_map);
    let outcome = match request(TIMEOUT, api.patch(CA_CONFIG_MAP, &params, &patch)).await {
        Ok(found) => Outcome::Written(Box::new(found)),
        Err(error) if is_namespace_gone(&error) => Outcome::NamespaceGone,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    (namespace, outcome)
}

fn is_namespace_gone(error: &RequestError) -> bool {
    let RequestError::Failed(kube::Error::Api(status)) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found()
        || causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
}
