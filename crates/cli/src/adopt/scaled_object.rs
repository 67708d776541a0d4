//! Converts a ScaledObject of KEDA to a PushScaler. Pure.

use serde_json::{Value, json};

use super::adopted::{AdoptError, Adopted};
use super::manifest::{Inherited, target_of};
use super::source::Kind;

/// KEDA's defaults.
const DEFAULT_MIN_REPLICAS: i64 = 0;
const DEFAULT_MAX_REPLICAS: i64 = 100;

/// Fields of `spec` without a counterpart, and why.
const NOT_TAKEN_OVER: [(&str, &str); 6] = [
    ("pollingInterval", "sidecars push every second"),
    (
        "cooldownPeriod",
        "it delays KEDA's step to 0 replicas, and Pushscale does not scale to 0",
    ),
    (
        "initialCooldownPeriod",
        "it delays KEDA's step to 0 replicas, and Pushscale does not scale to 0",
    ),
    (
        "idleReplicaCount",
        "a PushScaler has one minimum, spec.minReplicas",
    ),
    (
        "fallback",
        "set spec.fallback, whose delay is in seconds and which never scales down",
    ),
    (
        "advanced.scalingModifiers",
        "a PushScaler scales by queue latency only",
    ),
];

/// Returns the PushScaler with the same target object, bounds and `behavior`, in mode Recommend. `target` is the target
/// latency: a trigger's threshold is in the unit of its query, which only the user knows.
///
/// # Errors
/// If a required field or the target latency is missing.
pub(super) fn convert(object: &Value, target: Option<&str>) -> Result<Adopted, AdoptError> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let target = target.ok_or(AdoptError::NoTrigger)?;
    let min = spec["minReplicaCount"]
        .as_i64()
        .unwrap_or(DEFAULT_MIN_REPLICAS);
    let max = spec["maxReplicaCount"]
        .as_i64()
        .unwrap_or(DEFAULT_MAX_REPLICAS);
    let mut manifest = Inherited {
        metadata,
        target: &target_of(object, Kind::ScaledObject)?,
        min_replicas: min,
        max_replicas: max.into(),
        latency: target,
        behavior: spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"].clone(),
    }
    .manifest()?;
    if spec["advanced"]["restoreToOriginalReplicaCount"] == true {
        manifest["spec"]["onDelete"] = json!("Restore");
    }
    Ok(Adopted {
        manifest,
        notes: notes(&metadata["name"], spec, min),
    })
}

fn notes(name: &Value, spec: &Value, min: i64) -> Vec<String> {
    let mut notes = Vec::new();
    for trigger in spec["triggers"].as_array().into_iter().flatten() {
        let kind = trigger["type"].as_str().unwrap_or_default();
        notes.push(format!(
            "the trigger {kind} is not taken over: a PushScaler scales by queue latency only"
        ));
    }
    if min < 1 {
        notes.push("minReplicaCount 0 became 1: Pushscale does not scale to 0".to_owned());
    }
    for (field, why) in NOT_TAKEN_OVER {
        let value = field.split('.').fold(spec, |value, key| &value[key]);
        if value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null() {
            continue;
        }
        notes.push(format!("{field} is not taken over: {why}"));
    }
    notes.push(format!(
        "it only recommends, alongside the ScaledObject: compare the two with pushscale status, and switch with pushscale adopt scaledobject/{} --switch",
        name.as_str().unwrap_or_default()
    ));
    notes
}
