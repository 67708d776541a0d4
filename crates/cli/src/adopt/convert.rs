//! Converts another autoscaler to a PushScaler. Pure.

use std::time::Duration;

use serde_json::Value;

use super::adopted::{AdoptError, Adopted, required, type_of};
use super::manifest::{Inherited, target_of};
use super::scaled_object;
use super::source::Kind;

/// How the name of the queue latency ends, in microseconds: the published setup of TorchServe with an adapter has `ts_`
/// before it, and adapters add prefixes of their own.
const QUEUE_LATENCY: &str = "queue_latency_microseconds";

/// The annotation in which the API server keeps a field that autoscaling/v1 and v2beta1 do not have.
pub(super) const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// The same for autoscaling/v1 only.
const V1_METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

/// Returns the PushScaler with the same target object, bounds and `behavior`, in mode Recommend.
///
/// # Errors
/// If the object is neither a HorizontalPodAutoscaler nor a ScaledObject, or without a target latency.
pub fn convert(object: &Value, target: Option<&str>) -> Result<Adopted, AdoptError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    if (version.as_str(), kind.as_str()) == ("keda.sh/v1alpha1", "ScaledObject") {
        return scaled_object::convert(object, target);
    }
    let versions =
        ["v1", "v2", "v2beta1", "v2beta2"].map(|version| format!("autoscaling/{version}"));
    if kind != "HorizontalPodAutoscaler" || !versions.contains(&version) {
        return Err(AdoptError::UnknownKind {
            found: type_of(object),
        });
    }
    convert_hpa(object, target)
}

fn convert_hpa(object: &Value, target: Option<&str>) -> Result<Adopted, AdoptError> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let mut notes = Vec::new();
    let metrics = match annotation(metadata, V1_METRICS)? {
        Some(metrics) => metrics,
        None => spec["metrics"].clone(),
    };
    let metrics = metrics.as_array().cloned().unwrap_or_default();
    let latency = match target {
        Some(target) => target.to_owned(),
        None => latency_of(&metrics)?,
    };
    for metric in &metrics {
        if !name_of(metric).ends_with(QUEUE_LATENCY) {
            let kind = metric["type"].as_str().unwrap_or_default();
            notes.push(format!(
                "the {kind} metric {} is not taken over: a PushScaler scales by queue latency only",
                name_of(metric)
            ));
        }
    }
    if let Some(percent) = spec["targetCPUUtilizationPercentage"].as_i64() {
        notes.push(format!("targetCPUUtilizationPercentage {percent} is not taken over: a PushScaler scales by queue latency only"));
    }
    if spec["minReplicas"] == 0 {
        notes.push("minReplicas 0 became 1: Pushscale does not scale to 0".to_owned());
    }
    let behavior = annotated_behavior(metadata)?.unwrap_or_else(|| spec["behavior"].clone());
    let manifest = Inherited {
        metadata,
        target: &target_of(object, Kind::Hpa)?,
        min_replicas: spec["minReplicas"].as_i64().unwrap_or(1),
        max_replicas: required(&spec["maxReplicas"], "spec.maxReplicas")?,
        latency: &latency,
        behavior,
    }
    .manifest()?;
    notes.push(format!("it only recommends, alongside the HorizontalPodAutoscaler: compare the two with pushscale status, and switch with pushscale adopt hpa/{} --switch", metadata["name"].as_str().unwrap_or_default()));
    Ok(Adopted { manifest, notes })
}

/// Returns the `behavior` that the API server keeps in an annotation, in the form of the field.
///
/// # Errors
/// It is not JSON.
pub(super) fn annotated_behavior(metadata: &Value) -> Result<Option<Value>, AdoptError> {
    Ok(annotation(metadata, BEHAVIOR)?.map(lower_first))
}

/// Returns the JSON in an annotation. The API server writes the internal form of it.
fn annotation(metadata: &Value, name: &'static str) -> Result<Option<Value>, AdoptError> {
    let Some(text) = metadata["annotations"][name].as_str() else {
        return Ok(None);
    };
    let parsed = serde_json::from_str(text);
    parsed.map(Some).map_err(|error| AdoptError::Annotation {
        name,
        problem: error.to_string(),
    })
}

/// Lowers the first letter of all keys, which are capitals in the API server's annotation.
fn lower_first(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            let lower = |(key, value): (String, Value)| {
                let mut letters = key.chars();
                let first = letters.next().map(|first| first.to_ascii_lowercase());
                (
                    first.into_iter().chain(letters).collect::<String>(),
                    lower_first(value),
                )
            };
            Value::Object(fields.map(lower).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_first).collect()),
        other => other,
    }
}

/// The part of a metric that has its name and target: `external`, `pods`, `object` or `resource`.
fn source(metric: &Value) -> &Value {
    let kinds = [
        "external",
        "pods",
        "object",
        "resource",
        "containerResource",
    ];
    let mut sources = kinds.iter().map(|kind| &metric[kind]);
    sources
        .find(|source| source.is_object())
        .unwrap_or(&Value::Null)
}

fn name_of(metric: &Value) -> &str {
    let source = source(metric);
    let names = [
        &source["metric"]["name"],
        &source["metricName"],
        &source["name"],
    ];
    names
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default()
}

/// Returns the target of the queue latency as a duration.
fn latency_of(metrics: &[Value]) -> Result<String, AdoptError> {
    let found = metrics
        .iter()
        .find(|metric| name_of(metric).ends_with(QUEUE_LATENCY));
    let source = source(found.ok_or(AdoptError::NoTarget)?);
    let targets = [
        &source["target"]["value"],
        &source["target"]["averageValue"],
        &source["targetValue"],
        &source["targetAverageValue"],
    ];
    let target = targets.into_iter().find(|target| !target.is_null());
    let text = match target.ok_or(AdoptError::NoTarget)? {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let microseconds = quantity(&text).filter(|value| value.is_finite() && *value > 0.0);
    let duration = microseconds.and_then(|value| Duration::try_from_secs_f64(value / 1e6).ok());
    match duration {
        Some(duration) if !duration.is_zero() => Ok(milliseconds(duration)),
        _ => Err(AdoptError::Quantity { text }),
    }
}

/// Formats a duration in milliseconds, exactly: a floating-point number has more digits than the CRD accepts.
fn milliseconds(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let text = format!("{}.{:06}", nanos / 1_000_000, nanos % 1_000_000);
    format!("{}ms", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Parses a Kubernetes quantity with a decimal suffix.
fn quantity(text: &str) -> Option<f64> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match text.get(number.len()..)? {
        "" => 1.0,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_no_more_digits_than_the_hpa_gave() {
        for (quantity, expected) in [
            ("501500", "501.5ms"),
            ("1023k", "1023ms"),
            ("7000000m", "7ms"),
            ("1m", "0.000001ms"),
        ] {
            let metric = serde_json::json!({
                "external": {
                    "metric": { "name": QUEUE_LATENCY },
                    "target": { "value": quantity },
                },
            });
            assert_eq!(latency_of(&[metric]).unwrap(), expected);
        }
    }
}
