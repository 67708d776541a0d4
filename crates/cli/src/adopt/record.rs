//! What a switch stores for its undo: an annotation of the PushScaler with the object to restore.
//!
//! Of a HorizontalPodAutoscaler, the annotation has everything but what the API server sets, so that the object can
//! also be created from it by hand. Of a ScaledObject, which stays, it has the annotation that pauses it, as it was
//! before.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use pushscale_api::PushScaler;
use serde_json::{Value, json};

use super::source::{Kind, Source};

/// The annotation of a PushScaler that replaced another autoscaler.
pub(super) const ADOPTED_FROM: &str = "pushscale.dev/adopted-from";

/// KEDA's annotation that pauses a ScaledObject: KEDA then deletes its HorizontalPodAutoscaler.
pub(crate) const PAUSED: &str = "autoscaling.keda.sh/paused";

/// KEDA's annotation that pins the replica count of a ScaledObject.
pub(crate) const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

/// Returns what must be stored to restore the object.
pub(super) fn record_of(source: &Source, object: &DynamicObject) -> Value {
    let resource = source.kind.resource();
    let mut metadata = json!({ "name": source.name });
    let mut record = json!({ "apiVersion": resource.api_version, "kind": resource.kind });
    match source.kind {
        Kind::Hpa => {
            let found = &object.metadata;
            for (field, value) in [
                ("labels", json!(found.labels)),
                ("annotations", json!(found.annotations)),
                ("ownerReferences", json!(found.owner_references)),
            ] {
                if !value.is_null() {
                    metadata[field] = value;
                }
            }
            record["spec"] = object.data["spec"].clone();
        }
        Kind::ScaledObject => {
            if let Some(paused) = object.annotations().get(PAUSED) {
                metadata["annotations"] = json!({ PAUSED: paused });
            }
        }
    }
    record["metadata"] = metadata;
    record
}

/// Returns what the PushScaler's annotation has; `None` if it replaced nothing.
pub(super) fn stored_in(scaler: &PushScaler) -> Option<Value> {
    let text = scaler.annotations().get(ADOPTED_FROM)?;
    serde_json::from_str(text).ok()
}

/// Whether the record is one of this object.
pub(super) fn is_record_of(record: &Value, source: &Source) -> bool {
    record["kind"] == source.kind.as_str() && record["metadata"]["name"] == source.name.as_str()
}
