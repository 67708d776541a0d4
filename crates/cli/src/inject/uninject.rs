//! Removes what the injection adds to a pod.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations};
use pushscale_protocol::{DRAIN_PATH, SIDECAR_PORT};
use serde_json::{Map, Value};

/// The pod's field that the injection raises so that the pod has time to drain.
const GRACE_PERIOD: &str = "terminationGracePeriodSeconds";

/// Removes from a pod what the injection adds, which is recognized by its content. Returns whether the pod changed.
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
