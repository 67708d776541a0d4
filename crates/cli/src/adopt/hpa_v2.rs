//! Converts a HorizontalPodAutoscaler of an older version to autoscaling/v2. Pure.

use serde_json::{Value, json};

use super::adopted::{AdoptError, required, type_of};
use super::convert::{BEHAVIOR, annotated_behavior};

const V2: &str = "autoscaling/v2";

/// The keys that autoscaling/v2beta1 has directly in a metric, and those of autoscaling/v2.
const NAMES: [(&str, [&str; 2]); 3] = [
    ("metricName", ["metric", "name"]),
    ("metricSelector", ["metric", "selector"]),
    ("selector", ["metric", "selector"]),
];

/// The same for the values in `spec.metrics`.
const TARGETS: [(&str, [&str; 2]); 4] = [
    ("targetAverageUtilization", ["target", "averageUtilization"]),
    ("targetAverageValue", ["target", "averageValue"]),
    ("averageValue", ["target", "averageValue"]),
    ("targetValue", ["target", "value"]),
];

/// The same for the values in `status.currentMetrics`.
const CURRENT: [(&str, [&str; 2]); 4] = [
    (
        "currentAverageUtilization",
        ["current", "averageUtilization"],
    ),
    ("currentAverageValue", ["current", "averageValue"]),
    ("averageValue", ["current", "averageValue"]),
    ("currentValue", ["current", "value"]),
];

/// Returns the HorizontalPodAutoscaler as autoscaling/v2, with nothing else changed.
///
/// # Errors
/// If it is of another kind or version, or a metric has no name or no target.
pub fn hpa_as_v2(mut object: Value) -> Result<Value, AdoptError> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    match (text("kind"), text("apiVersion")) {
        // Only the name of the version differs.
        ("HorizontalPodAutoscaler", V2 | "autoscaling/v2beta2") => {}
        ("HorizontalPodAutoscaler", "autoscaling/v2beta1") => {
            for metric in items(&mut object, "/spec/metrics") {
                convert_target(metric)?;
            }
            for metric in items(&mut object, "/status/currentMetrics") {
                for (_, fields) in sources(metric) {
                    *fields = rename(fields, &CURRENT);
                }
            }
            move_behavior(&mut object)?;
        }
        _ => {
            return Err(AdoptError::NotConvertible {
                found: type_of(&object),
            });
        }
    }
    object["apiVersion"] = V2.into();
    Ok(object)
}

fn items<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    let items = object.pointer_mut(path).and_then(Value::as_array_mut);
    items.into_iter().flatten()
}

/// Returns the parts of a metric that have its name and values: `external`, `pods`, `object` or `resource`.
fn sources(metric: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    let fields = metric.as_object_mut().into_iter().flatten();
    fields.filter(|(_, fields)| fields.is_object())
}

/// Converts an item of `spec.metrics`.
fn convert_target(metric: &mut Value) -> Result<(), AdoptError> {
    for (kind, fields) in sources(metric) {
        let is_resource = fields.get("name").is_some();
        let mut source = rename(fields, &TARGETS);
        if !is_resource {
            required(&source["metric"]["name"], "metricName of a metric")?;
        }
        let Some(target) = source["target"].as_object_mut() else {
            return Err(AdoptError::Missing {
                field: "the target of a metric",
            });
        };
        // v2beta1 requires `targetValue` of an object even where `averageValue` applies.
        if kind == "object" && target.contains_key("averageValue") {
            target.remove("value");
        }
        let types = [
            ("averageUtilization", "Utilization"),
            ("averageValue", "AverageValue"),
            ("value", "Value"),
        ];
        let found = types.into_iter().find(|(key, _)| target.contains_key(*key));
        target.extend(found.map(|(_, name)| ("type".to_owned(), name.into())));
        *fields = source;
    }
    Ok(())
}

/// Moves `behavior` from its annotation to `spec`: the API server drops the annotation from objects of autoscaling/v2.
///
/// v2beta1 has fields for everything else that autoscaling/v1 has in annotations.
fn move_behavior(object: &mut Value) -> Result<(), AdoptError> {
    let Some(behavior) = annotated_behavior(&object["metadata"])? else {
        return Ok(());
    };
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.insert("behavior".to_owned(), behavior);
    }
    if let Some(metadata) = object["metadata"].as_object_mut()
        && let Some(annotations) = metadata["annotations"].as_object_mut()
    {
        annotations.remove(BEHAVIOR);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Ok(())
}

/// Moves the fields of v2beta1 to where v2 has them, and keeps all others.
fn rename(fields: &Value, values: &[(&str, [&str; 2])]) -> Value {
    let mut renamed = json!({});
    for (key, value) in fields.as_object().into_iter().flatten() {
        let moved = NAMES.iter().chain(values).find(|(from, _)| from == key);
        match moved {
            Some((_, [group, name])) => renamed[*group][*name] = value.clone(),
            // The object that an Object metric is about.
            None if key == "target" => renamed["describedObject"] = value.clone(),
            None => renamed[key] = value.clone(),
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

    use super::*;

    const METRICS: [&str; 6] = [
        "resource: { name: cpu, targetAverageUtilization: 50 }",
        "resource: { name: memory, targetAverageValue: 1Gi }",
        "pods: { metricName: queue, selector: { matchLabels: { a: b } }, targetAverageValue: '3' }",
        "object: { metricName: hits, target: { kind: Service, name: web }, targetValue: 10k }",
        "object: { metricName: hits, target: { kind: Service, name: web }, targetValue: '0', averageValue: '2' }",
        "external: { metricName: wait, metricSelector: { matchLabels: { a: b } }, targetAverageValue: '1' }",
    ];

    /// Parsing drops the fields that autoscaling/v2 does not know.
    #[test]
    fn the_result_has_the_fields_of_v2_only() {
        for metric in METRICS {
            let kind = metric.split(':').next().unwrap();
            let text = format!(
                "apiVersion: autoscaling/v2beta1
kind: HorizontalPodAutoscaler
metadata: {{ name: web }}
spec:
  scaleTargetRef: {{ kind: Deployment, name: web }}
  maxReplicas: 5
  metrics: [{{ type: {kind}, {metric} }}]"
            );
            let old: Value = serde_saphyr::from_str(&text).unwrap();
            let new = hpa_as_v2(old).unwrap();
            let typed: HorizontalPodAutoscaler = serde_json::from_value(new.clone()).unwrap();
            assert_eq!(serde_json::to_value(typed).unwrap(), new, "{metric}");
        }
    }

    #[test]
    fn a_metric_without_a_name_or_a_target_is_an_error() {
        for metric in [
            json!({ "external": { "targetValue": 1 } }),
            json!({ "pods": { "metricName": "queue" } }),
        ] {
            let object = json!({
                "apiVersion": "autoscaling/v2beta1",
                "kind": "HorizontalPodAutoscaler",
                "spec": { "metrics": [metric] },
            });
            let result = hpa_as_v2(object);
            assert!(matches!(result, Err(AdoptError::Missing { .. })));
        }
    }
}
