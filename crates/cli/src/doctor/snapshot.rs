//! The Kubernetes objects that the checks look at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Namespace, Pod, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use pushscale_api::PushScaler;
use pushscale_api::names::SIDECAR_CONTAINER;
use pushscale_injector::looks_like_torchserve;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::cluster::is_aggregator;

/// The key in [`Snapshot::unread`] if the aggregator's pods could not be read.
pub(super) const AGGREGATOR: &str = "aggregator";

/// A leader renews its Lease every two seconds, and loses it after ten.
const EXPIRED_SECONDS: i64 = 15;

/// The objects of one moment. What could not be read is in `unread`, so that no check takes it for absent.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When the Lease was read, by the clock of this machine.
    pub now: Timestamp,
    /// The PushScalers of the checked namespaces.
    pub scalers: Vec<PushScaler>,
    /// The only PushScaler to check; `None`: all of them. The others may conflict with it.
    pub only: Option<String>,
    /// Their targets.
    pub targets: Vec<Target>,
    /// The pods in the namespaces of the PushScalers.
    pub pods: Vec<Pod>,
    /// The aggregator's pods.
    pub aggregators: Vec<Pod>,
    /// The aggregator's Lease.
    pub lease: Option<Lease>,
    /// When the Lease had been renewed, if it looked expired and was read again.
    pub previous_renewal: Option<Timestamp>,
    /// The HorizontalPodAutoscalers.
    pub hpas: Vec<HorizontalPodAutoscaler>,
    /// KEDA's ScaledObjects.
    pub scaled_objects: Vec<Value>,
    /// The APIService of the external metrics, whoever owns it.
    pub api_service: Option<Value>,
    /// The NetworkPolicies of the PushScalers' namespaces and the aggregator's.
    pub network_policies: Vec<NetworkPolicy>,
    /// The ConfigMaps that pods mount.
    pub config_maps: Vec<ConfigMap>,
    /// The namespaces, for NetworkPolicies.
    pub namespaces: Vec<Namespace>,
    /// The Deployments, for failed creations of pods.
    pub deployments: Vec<Deployment>,
    /// The quotas.
    pub quotas: Vec<ResourceQuota>,
    /// The kinds that could not be read, with the reason.
    pub unread: BTreeMap<String, String>,
}

/// The target of a PushScaler, as the API server answers for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Namespace of the PushScaler.
    pub namespace: String,
    /// `scaleTargetRef.apiVersion`.
    pub target_api_version: String,
    /// `scaleTargetRef.kind`.
    pub target_kind: String,
    /// `scaleTargetRef.name`.
    pub name: String,
    /// `spec.replicas`, if the scale subresource could be read.
    #[serde(default)]
    pub replicas: Option<i32>,
    /// Why the API server failed to return it.
    #[serde(default)]
    pub failure: Option<String>,
    /// Why it cannot be scaled.
    #[serde(default)]
    pub problem: Option<String>,
    /// Why the user may not read it or its pods.
    #[serde(default)]
    pub unread: Option<String>,
    /// The names of the pods that its selector selects.
    #[serde(default)]
    pub pods: Vec<String>,
}

/// An object that does not match its kind.
#[derive(Debug, Error)]
#[error("{kind} {name} is invalid")]
pub struct SnapshotError {
    kind: String,
    name: String,
    source: serde_json::Error,
}

/// A PushScaler with its target and pods.
pub(super) struct Subject<'a> {
    /// Namespace and name.
    pub(super) name: String,
    pub(super) namespace: &'a str,
    pub(super) scaler: &'a PushScaler,
    pub(super) target: Option<&'a Target>,
    /// The target's pods, except terminating ones.
    pub(super) pods: Vec<&'a Pod>,
}

impl Snapshot {
    /// Creates an empty snapshot.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Adds an object of any kind that a check looks at; others are ignored.
    ///
    /// # Errors
    /// If the object does not match its kind.
    pub fn add(&mut self, object: Value) -> Result<(), SnapshotError> {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "PushScaler" => self.scalers.push(parse(&kind, object)?),
            "Target" => self.targets.push(parse(&kind, object)?),
            "Pod" => {
                let pod: Pod = parse(&kind, object)?;
                if is_aggregator(&pod) {
                    self.aggregators.push(pod);
                } else {
                    self.pods.push(pod);
                }
            }
            "Lease" => self.lease = Some(parse(&kind, object)?),
            "PreviousRenewal" => {
                self.previous_renewal = Some(parse(&kind, object["renewTime"].clone())?);
            }
            "HorizontalPodAutoscaler" => self.hpas.push(parse(&kind, object)?),
            "ScaledObject" => self.scaled_objects.push(object),
            "APIService" => self.api_service = Some(object),
            "NetworkPolicy" => self.network_policies.push(parse(&kind, object)?),
            "ConfigMap" => self.config_maps.push(parse(&kind, object)?),
            "Namespace" => self.namespaces.push(parse(&kind, object)?),
            "Deployment" => self.deployments.push(parse(&kind, object)?),
            "ResourceQuota" => self.quotas.push(parse(&kind, object)?),
            "Only" => self.only = object["metadata"]["name"].as_str().map(str::to_owned),
            "Unread" => {
                let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
                self.unread.insert(text("unreadKind"), text("reason"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns when the Lease was renewed, by the clock of the leader.
    pub(super) fn renewal(&self) -> Option<Timestamp> {
        let spec = self.lease.as_ref()?.spec.as_ref()?;
        Some(spec.renew_time.as_ref()?.0)
    }

    /// Returns the seconds since the renewal of the Lease, by the clock of this machine.
    pub(super) fn lease_age(&self) -> Option<i64> {
        Some(self.now.duration_since(self.renewal()?).as_secs())
    }

    /// Whether the Lease is older than a leader lets it become, by the clock of this machine.
    pub(super) fn lease_looks_expired(&self) -> bool {
        self.lease_age().is_some_and(|age| age > EXPIRED_SECONDS)
    }

    /// Whether the Lease was renewed between two reads. That needs no clock.
    pub(super) fn lease_was_renewed(&self) -> bool {
        self.previous_renewal.is_some() && self.previous_renewal != self.renewal()
    }

    pub(super) fn subjects(&self) -> Vec<Subject<'_>> {
        self.scalers
            .iter()
            .filter(|scaler| self.only.is_none() || self.only == scaler.metadata.name)
            .map(|scaler| self.subject(scaler))
            .collect()
    }

    fn subject<'a>(&'a self, scaler: &'a PushScaler) -> Subject<'a> {
        let namespace = scaler.metadata.namespace.as_deref().unwrap_or_default();
        let name = scaler.metadata.name.as_deref().unwrap_or_default();
        let reference = &scaler.spec.scale_target_ref;
        let target = self.targets.iter().find(|target| {
            target.namespace == namespace
                && target.target_api_version == reference.api_version
                && target.target_kind == reference.kind
                && target.name == reference.name
        });
        let selected = |pod: &&Pod| {
            let name = pod.metadata.name.as_ref();
            let is_selected =
                target.is_some_and(|target| name.is_some_and(|name| target.pods.contains(name)));
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.metadata.deletion_timestamp.is_none()
                && is_selected
        };
        Subject {
            name: format!("{namespace}/{name}"),
            namespace,
            scaler,
            target,
            pods: self.pods.iter().filter(selected).collect(),
        }
    }

    /// Returns the reason why objects of this kind could not be read.
    pub(super) fn unread(&self, kind: &str) -> Option<&str> {
        self.unread.get(kind).map(String::as_str)
    }

    /// Returns the first of these kinds that could not be read, with the reason.
    pub(super) fn first_unread<'a>(&'a self, kinds: &[&'a str]) -> Option<(&'a str, &'a str)> {
        let mut unread = kinds
            .iter()
            .filter_map(|kind| Some((*kind, self.unread(kind)?)));
        unread.next()
    }

    /// Returns a ConfigMap.
    pub(super) fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps.iter().find(|found| {
            found.metadata.namespace.as_deref() == Some(namespace)
                && found.metadata.name.as_deref() == Some(name)
        })
    }
}

impl Subject<'_> {
    /// Returns the target as `kind/name`.
    pub(super) fn target_name(&self) -> String {
        let reference = &self.scaler.spec.scale_target_ref;
        format!("{}/{}", reference.kind, reference.name)
    }
}

fn parse<T: DeserializeOwned>(kind: &str, object: Value) -> Result<T, SnapshotError> {
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or("?")
        .to_owned();
    serde_json::from_value(object).map_err(|source| SnapshotError {
        kind: kind.to_owned(),
        name,
        source,
    })
}

/// Returns the group, which is empty for the core API, and the version of an `apiVersion`.
pub(super) fn group_and_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Returns the name of a pod.
pub(super) fn pod_name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Returns all containers of a pod, with native sidecars.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|spec| {
        spec.init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
    })
}

/// Returns the sidecar of a pod.
pub(super) fn sidecar(pod: &Pod) -> Option<&Container> {
    containers(pod).find(|container| container.name == SIDECAR_CONTAINER)
}

/// Returns the container that runs TorchServe, by the name or the image, as the injector does; or the only other one.
pub(super) fn torchserve(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut others = containers
        .iter()
        .filter(|container| container.name != SIDECAR_CONTAINER);
    let annotated = pod.metadata.annotations.as_ref();
    let annotated = annotated.and_then(|all| all.get(pushscale_api::names::annotations::CONTAINER));
    let is_torchserve = |container: &&Container| match annotated {
        Some(name) => container.name == *name,
        None => looks_like_torchserve(&container.name, container.image.as_deref()).is_some(),
    };
    others.clone().find(is_torchserve).or_else(|| {
        let only = others.next();
        only.filter(|_| others.next().is_none())
    })
}

/// Returns the value of an environment variable.
pub(super) fn variable<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let mut variables = container.env.iter().flatten();
    let found = variables.find(|variable| variable.name == name)?;
    found.value.as_deref()
}
