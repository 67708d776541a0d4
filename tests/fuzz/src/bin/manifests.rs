//! `pushscale inject` on a manifest: a second run changes nothing, a file without a change keeps its bytes, and
//! `--uninject` restores the values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pushscale_cli::fuzzing::values;
use pushscale_cli::inject::{ProcessedFile, Task, process_file};
use pushscale_injector::{Auth, PullPolicy, Sidecar};
use serde_json::Value;

/// Parts of a manifest from which the original values cannot be derived: it was injected before, or by hand.
const INJECTED: [&str; 7] = [
    "pushscale-sidecar",
    "pushscale-trust",
    "pushscale.dev/injected",
    "pushscale.dev/skipped",
    "pushscale.dev/original-grace-period",
    "pushscale.dev/original-pre-stop",
    "/drain",
];

fuzz_target!(|text: &str| {
    // Both kinds of sidecar, without another input.
    let native_sidecar = !text.ends_with("\n\n");
    let Ok(injected) = inject(text, native_sidecar) else {
        return;
    };
    // Documents without a pod are not read in detail.
    let Ok(before) = values(text) else {
        return;
    };
    let after = values(&injected.text).expect("the injected manifest is YAML");
    if after == before {
        assert_eq!(
            injected.text, text,
            "the file changes and its values do not"
        );
        return;
    }
    let again =
        inject(&injected.text, native_sidecar).expect("an injected manifest can be injected");
    assert_eq!(
        again.text, injected.text,
        "a second run changes the manifest"
    );

    let restored = process_file(&injected.text, Task::Uninject).expect("it can be uninjected");
    let restored = values(&restored.text).expect("the restored manifest is YAML");
    let original = Value::Array(before).to_string();
    if !INJECTED.iter().any(|part| original.contains(part)) {
        let before: Value = serde_json::from_str(&original).expect("it was serialized");
        assert_eq!(without_empty(&restored.into()), without_empty(&before));
    }
});

fn inject(
    text: &str,
    native_sidecar: bool,
) -> Result<ProcessedFile, pushscale_cli::inject::Problem> {
    let sidecar = Sidecar {
        image: "pushscale/sidecar:0.1.0".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        auth: if native_sidecar {
            Auth::Token
        } else {
            Auth::None
        },
        own_namespace: None,
    };
    let task = Task::Inject {
        sidecar: &sidecar,
        native_sidecar,
        namespace: "models",
        container: None,
    };
    process_file(text, task)
}

/// Kubernetes treats empty maps and lists, null and absent fields alike.
fn without_empty(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(items) => items.iter().map(without_empty).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), without_empty(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        other => other.clone(),
    }
}
