//! Removes what `pushscale inject` adds to a pod.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations};
use pushscale_protocol::{DRAIN_PATH, SIDECAR_PORT};
use serde_json::{Map, Value};

/// The pod's field that `inject` raises so that the pod has time to drain.
const GRACE_PERIOD: &str = "terminationGracePeriodSeconds";

/// The value of the annotation for a preStop hook that the injection did not add.
const KEPT: &str = "kept";

/// The original grace period of a pod that had none.
const UNSET: &str = "unset";

/// Stores the pod's grace period from before the injection, if the injection changed it. Otherwise removes one that an
/// earlier injection has left, which `uninject` would restore.
pub(super) fn remember_grace_period(before: &Value, after: &mut Value) {
    let original = &before["spec"][GRACE_PERIOD];
    let is_changed = *original != after["spec"][GRACE_PERIOD];
    let text = || {
        let seconds = original.as_i64();
        seconds.map_or(UNSET.to_owned(), |seconds| seconds.to_string())
    };
    remember(
        after,
        annotations::ORIGINAL_GRACE_PERIOD,
        is_changed.then(text),
    );
}

/// Stores that the pod had the drain as its preStop hook before the injection. Otherwise removes the annotation that an
/// earlier injection has left.
pub(super) fn remember_pre_stop(had_drain: bool, after: &mut Value) {
    let kept = had_drain.then(|| KEPT.to_owned());
    remember(after, annotations::ORIGINAL_PRE_STOP, kept);
}

/// Stores what was there before the injection in an annotation, or removes that of an earlier injection.
fn remember(after: &mut Value, name: &str, original: Option<String>) {
    let annotations = &mut after["metadata"]["annotations"];
    if let Some(original) = original {
        annotations[name] = original.into();
    } else if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(name);
    }
}

/// Removes from a pod what `inject` adds, which is recognized by its content. Returns whether the pod changed.
pub(super) fn uninject(pod: &mut Value) -> bool {
    let Some(pod) = pod.as_object_mut() else {
        return false;
    };
    let (mut injected, mut original, mut has_own_hook) = (None, None, false);
    edit_object(pod, "metadata", |metadata| {
        edit_object(metadata, "annotations", |annotations| {
            injected = annotations.remove(annotations::INJECTED);
            if injected.is_some() {
                // The only message of an injected pod is that it keeps its own preStop hook.
                let message = annotations.remove(annotations::SKIPPED);
                let kept = annotations.remove(annotations::ORIGINAL_PRE_STOP);
                has_own_hook = message.is_some() || kept.is_some();
                original = annotations.remove(annotations::ORIGINAL_GRACE_PERIOD);
            }
        });
    });
    if injected.is_none() {
        return false;
    }
    let Some(Value::Object(spec)) = pod.get_mut("spec") else {
        return true;
    };
    for (list, name) in [
        ("initContainers", SIDECAR_CONTAINER),
        ("containers", SIDECAR_CONTAINER),
        ("volumes", TRUST_VOLUME),
    ] {
        // An empty list was not emptied here.
        if let Some(Value::Array(items)) = spec.get_mut(list)
            && !items.is_empty()
        {
            items.retain(|item| item.get("name").is_none_or(|found| found != name));
            if items.is_empty() {
                spec.remove(list);
            }
        }
    }
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers
        .filter(|_| !has_own_hook)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        edit_object(container, "lifecycle", |lifecycle| {
            let hook = lifecycle
                .get("preStop")
                .and_then(|hook| hook.get("httpGet"));
            if hook.is_some_and(|hook| hook["path"] == DRAIN_PATH && hook["port"] == SIDECAR_PORT) {
                lifecycle.remove("preStop");
            }
        });
    }
    match original
        .as_ref()
        .and_then(Value::as_str)
        .map(str::parse::<i64>)
    {
        Some(Ok(seconds)) => drop(spec.insert(GRACE_PERIOD.to_owned(), seconds.into())),
        Some(Err(_)) => drop(spec.remove(GRACE_PERIOD)),
        None => {}
    }
    true
}

/// Edits a field that is an object and not empty, and removes it if it becomes empty.
fn edit_object(
    parent: &mut Map<String, Value>,
    key: &str,
    edit: impl FnOnce(&mut Map<String, Value>),
) {
    if let Some(Value::Object(fields)) = parent.get_mut(key)
        && !fields.is_empty()
    {
        edit(fields);
        if fields.is_empty() {
            parent.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_grace_period_of_an_earlier_injection_is_forgotten() {
        let annotations = json!({ annotations::ORIGINAL_GRACE_PERIOD: "7" });
        let pod = |seconds: i64| json!({ "metadata": { "annotations": annotations }, "spec": { GRACE_PERIOD: seconds } });
        let mut unchanged = pod(60);
        remember_grace_period(&pod(60), &mut unchanged);
        assert_eq!(unchanged["metadata"]["annotations"], json!({}));
        let mut raised = pod(35);
        remember_grace_period(&pod(20), &mut raised);
        let stored = &raised["metadata"]["annotations"][annotations::ORIGINAL_GRACE_PERIOD];
        assert_eq!(stored, "20");
    }
}
