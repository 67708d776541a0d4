//! Reads the objects of a snapshot, each kind of each namespace once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, pinned_kind};
use kube::{Api, Client};
use pushscale_api::{PushScaler, ScaleTargetRef};
use serde_json::Value;

use super::snapshot::{AGGREGATOR, Snapshot, Target, group_and_version};
use crate::CommandError;
use crate::cluster::{Cluster, ClusterError, find_aggregators, lease_of, request};

/// Maximum concurrent requests to the API server.
const MAX_CONCURRENT: usize = 8;

/// The time between two reads of a Lease that looks expired: longer than a leader takes to renew it.
const RENEWAL: Duration = Duration::from_secs(5);

/// Objects per request.
const PAGE: u32 = 500;

/// The reason why something could not be read that the user may not read.
const FORBIDDEN: &str = "forbidden";

/// The kinds that are listed in every namespace of a PushScaler: group, version, kind, plural.
const KINDS: [(&str, &str, &str, &str); 7] = [
    ("", "v1", "Pod", "pods"),
    ("", "v1", "ResourceQuota", "resourcequotas"),
    ("apps", "v1", "Deployment", "deployments"),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    ("", "v1", "ConfigMap", "configmaps"),
];

const API_SERVICE: (&str, &str, &str, &str) =
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices");

/// The APIService of the external metrics. Its name follows from the API.
const EXTERNAL_METRICS: &str = "v1beta1.external.metrics.k8s.io";

/// Reads everything that the checks look at.
pub(super) async fn read(
    cluster: &Cluster,
    all_namespaces: bool,
    name: Option<&str>,
) -> Result<Snapshot, CommandError> {
    let mut snapshot = Snapshot::new(Timestamp::now());
    let api = cluster.scalers(all_namespaces);
    if let Some(name) = name {
        let what = format!("PushScaler {}/{name}", cluster.namespace);
        request(&what, api.get(name)).await?;
        snapshot.only = Some(name.to_owned());
    }
    let all = ListParams::default();
    snapshot.scalers = request("the PushScalers", api.list(&all)).await?.items;
    let aggregators = find_aggregators(cluster).await;
    // The reads before this one may have taken seconds.
    snapshot.now = Timestamp::now();
    match aggregators {
        Ok(found) => {
            snapshot.aggregators = found.pods;
            match found.lease {
                Ok(lease) => snapshot.lease = lease,
                Err(error) => unread(&mut snapshot, "Lease", &error),
            }
        }
        Err(error) => unread(&mut snapshot, AGGREGATOR, &error),
    }
    let namespace_of = |scaler: &PushScaler| scaler.metadata.namespace.clone();
    let mut namespaces: BTreeSet<String> =
        snapshot.scalers.iter().filter_map(namespace_of).collect();
    let mut requests = Vec::new();
    for namespace in &namespaces {
        requests.extend(KINDS.map(|kind| (kind, namespace.clone())));
    }
    let aggregator = snapshot.aggregators.first();
    if let Some(namespace) = aggregator.and_then(|pod| pod.metadata.namespace.clone())
        && namespaces.insert(namespace.clone())
    {
        let policies = KINDS.into_iter().filter(|kind| kind.2 == "NetworkPolicy");
        requests.extend(policies.map(|kind| (kind, namespace.clone())));
    }
    let client = &cluster.client;
    let lists = stream::iter(requests)
        .map(|(kind, namespace)| async move { (kind.2, list(client, kind, &namespace).await) });
    let mut lists = lists.buffer_unordered(MAX_CONCURRENT);
    while let Some((kind, list)) = lists.next().await {
        match list {
            Ok(objects) => {
                for object in objects {
                    snapshot.add(object)?;
                }
            }
            // The kind does not exist: KEDA is not installed.
            Err(ClusterError::NotFound { .. }) => {}
            Err(error) => unread(&mut snapshot, kind, &error),
        }
    }
    drop(lists);
    match get(client, API_SERVICE, EXTERNAL_METRICS).await {
        Ok(object) => snapshot.add(object)?,
        // No external metrics are served.
        Err(ClusterError::NotFound { .. }) => {}
        Err(error) => unread(&mut snapshot, API_SERVICE.2, &error),
    }
    for namespace in &namespaces {
        let kind = ("", "v1", "Namespace", "namespaces");
        match get(client, kind, namespace).await {
            Ok(object) => snapshot.add(object)?,
            Err(error) => unread(&mut snapshot, "Namespace", &error),
        }
    }
    let subjects = snapshot.subjects();
    let targets = subjects.iter().filter_map(|subject| {
        let namespace = namespace_of(subject.scaler)?;
        Some((namespace, subject.scaler.spec.scale_target_ref.clone()))
    });
    let targets: Vec<_> = targets.collect();
    let mut reads = stream::iter(targets)
        .map(|(namespace, reference)| target(client, namespace, reference))
        .buffer_unordered(MAX_CONCURRENT);
    let mut found = Vec::new();
    while let Some(target) = reads.next().await {
        found.push(target);
    }
    drop(reads);
    snapshot.targets = found;
    if snapshot.lease_looks_expired() {
        read_lease_again(client, &mut snapshot).await;
    }
    Ok(snapshot)
}

/// Reads the Lease again after the time of a renewal: its age alone does not distinguish a leader that fails to renew
/// it from one whose clock differs.
async fn read_lease_again(client: &Client, snapshot: &mut Snapshot) {
    let Some(pod) = snapshot.aggregators.first() else {
        return;
    };
    tokio::time::sleep(RENEWAL).await;
    match lease_of(client, pod).await {
        Ok(lease) => {
            snapshot.now = Timestamp::now();
            snapshot.previous_renewal = snapshot.renewal();
            snapshot.lease = lease;
        }
        Err(error) => unread(snapshot, "Lease", &error),
    }
}

fn unread(snapshot: &mut Snapshot, kind: &str, error: &ClusterError) {
    let reason = if error.is_forbidden() {
        FORBIDDEN.to_owned()
    } else {
        pushscale_daemon::error::chain(error).to_string()
    };
    snapshot.unread.insert(kind.to_owned(), reason);
}

fn resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    let kind = GroupVersionKind::gvk(group, version, kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// Lists all objects of a kind, page by page.
async fn list(
    client: &Client,
    kind: (&str, &str, &str, &str),
    namespace: &str,
) -> Result<Vec<Value>, ClusterError> {
    let resource = resource(kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let what = format!("{} in namespace {namespace}", kind.3);
    let mut parameters = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = request(&what, api.list(&parameters)).await?;
        for object in page.items {
            objects.push(to_value(&object, kind));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(objects),
        }
    }
}

async fn get(
    client: &Client,
    kind: (&str, &str, &str, &str),
    name: &str,
) -> Result<Value, ClusterError> {
    let resource = resource(kind);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let object = request(&format!("{} {name}", kind.2), api.get(name)).await?;
    Ok(to_value(&object, kind))
}

/// Converts an object, with its kind, which the items of a list do not have.
fn to_value(object: &DynamicObject, (.., kind, _): (&str, &str, &str, &str)) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["kind"] = kind.into();
    value
}

/// Reads the scale of a target and the pods that it selects, as the aggregator does.
async fn target(client: &Client, namespace: String, reference: ScaleTargetRef) -> Target {
    let mut target = Target {
        namespace: namespace.clone(),
        target_api_version: reference.api_version.clone(),
        target_kind: reference.kind.clone(),
        name: reference.name.clone(),
        ..Target::default()
    };
    let (group, version) = group_and_version(&reference.api_version);
    let kind = GroupVersionKind::gvk(group, version, &reference.kind);
    let what = format!("{}/{}", reference.kind, reference.name);
    let resource = match request(&what, pinned_kind(client, &kind)).await {
        Ok((resource, _)) => resource,
        Err(error) => {
            let kind = format!("{} {}", reference.api_version, reference.kind);
            if matches!(error, ClusterError::NotFound { .. }) {
                target.problem = Some(format!("the API server does not know {kind}"));
            } else {
                let message = pushscale_daemon::error::chain(&error);
                target.failure = Some(format!("the kind {kind} could not be read: {message}"));
            }
            return target;
        }
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let scale = match request(&what, api.get_scale(&reference.name)).await {
        Ok(scale) => scale,
        Err(ClusterError::NotFound { .. }) => {
            target.problem = Some(match request(&what, api.get(&reference.name)).await {
                Ok(_) => format!("{what} has no scale subresource"),
                Err(ClusterError::NotFound { .. }) => {
                    format!("{what} does not exist in namespace {namespace}")
                }
                Err(_) => format!(
                    "{what} does not exist in namespace {namespace}, or has no scale subresource"
                ),
            });
            return target;
        }
        Err(error) if error.is_forbidden() => {
            target.unread = Some(FORBIDDEN.to_owned());
            return target;
        }
        Err(error) => {
            let message = pushscale_daemon::error::chain(&error).to_string();
            target.failure = Some(message);
            return target;
        }
    };
    target.replicas = Some(scale.spec.and_then(|spec| spec.replicas).unwrap_or(0));
    let selector = scale.status.and_then(|status| status.selector);
    if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let parameters = ListParams::default().labels(&selector);
        match request("the target's pods", pods.list_metadata(&parameters)).await {
            Ok(list) => {
                let names = list.items.into_iter();
                target.pods = names.filter_map(|pod| pod.metadata.name).collect();
            }
            Err(error) if error.is_forbidden() => {
                target.unread = Some(format!("listing its pods is {FORBIDDEN}"));
            }
            Err(error) => {
                let message = pushscale_daemon::error::chain(&error).to_string();
                target.failure = Some(message);
            }
        }
    }
    target
}
