//! The manifest of a PushScaler that replaces another autoscaler. Pure.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use pushscale_aggregator::TargetRef;
use pushscale_api::PushScaler;
use serde_json::{Value, json};

use super::adopted::{AdoptError, required};
use super::source::Kind;

/// KEDA's defaults. Of a HorizontalPodAutoscaler, the API server requires the kind.
const DEFAULT_API_VERSION: &str = "apps/v1";
const DEFAULT_KIND: &str = "Deployment";

/// What a PushScaler takes over.
pub(super) struct Inherited<'a> {
    /// `metadata` of the other autoscaler.
    pub(super) metadata: &'a Value,
    pub(super) target: &'a TargetRef,
    pub(super) min_replicas: i64,
    pub(super) max_replicas: Value,
    /// The target latency.
    pub(super) latency: &'a str,
    /// Null without one.
    pub(super) behavior: Value,
}

impl Inherited<'_> {
    /// Returns the PushScaler in mode Recommend. It has no namespace unless the other autoscaler names one.
    ///
    /// # Errors
    /// If the other autoscaler has no name.
    pub(super) fn manifest(self) -> Result<Value, AdoptError> {
        let mut manifest = json!({
            "apiVersion": "pushscale.dev/v1alpha1",
            "kind": "PushScaler",
            "metadata": { "name": required(&self.metadata["name"], "metadata.name")? },
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": self.target.api_version,
                    "kind": self.target.kind,
                    "name": self.target.name,
                },
                "mode": "Recommend",
                // Pushscale does not scale to 0.
                "minReplicas": self.min_replicas.max(1),
                "maxReplicas": self.max_replicas,
                "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": self.latency } }],
            },
        });
        if let Value::String(_) = &self.metadata["namespace"] {
            manifest["metadata"]["namespace"] = self.metadata["namespace"].clone();
        }
        if self.behavior.is_object() {
            manifest["spec"]["behavior"] = self.behavior;
        }
        Ok(manifest)
    }
}

/// Returns the object that another autoscaler scales. The namespace is that of the autoscaler, and empty if it is not
/// in the manifest.
///
/// # Errors
/// If the kind of a HorizontalPodAutoscaler's target or the name is missing.
pub(super) fn target_of(object: &Value, kind: Kind) -> Result<TargetRef, AdoptError> {
    let reference = &object["spec"]["scaleTargetRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let or_default = |value: &Value, default: &str| match text(value) {
        text if text.is_empty() => default.to_owned(),
        text => text,
    };
    Ok(TargetRef {
        namespace: text(&object["metadata"]["namespace"]),
        api_version: or_default(&reference["apiVersion"], DEFAULT_API_VERSION),
        kind: match kind {
            Kind::Hpa => text(&required(&reference["kind"], "spec.scaleTargetRef.kind")?),
            Kind::ScaledObject => or_default(&reference["kind"], DEFAULT_KIND),
        },
        name: text(&required(&reference["name"], "spec.scaleTargetRef.name")?),
    })
}

/// Returns the object that a PushScaler scales.
pub(super) fn target_of_scaler(scaler: &PushScaler) -> TargetRef {
    let namespace = scaler.metadata.namespace.clone().unwrap_or_default();
    TargetRef::new(namespace, &scaler.spec.scale_target_ref)
}

/// Returns the object that a HorizontalPodAutoscaler scales.
pub(super) fn target_of_hpa(hpa: &HorizontalPodAutoscaler) -> TargetRef {
    let reference = hpa.spec.scale_target_ref.clone();
    let version = reference.api_version.filter(|version| !version.is_empty());
    TargetRef {
        namespace: hpa.metadata.namespace.clone().unwrap_or_default(),
        api_version: version.unwrap_or_else(|| DEFAULT_API_VERSION.to_owned()),
        kind: reference.kind,
        name: reference.name,
    }
}
