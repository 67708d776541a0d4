//! Properties: every request gets a response, and no pod loses a field.
#![cfg(test)]

mod support;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use pushscale_api::names::annotations;
use pushscale_injector::{Auth, Facts, Outcome, Sidecar, admit, apply, inject_value};
use serde_json::{Value, json};
use support::{Case, cases, sidecar};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);

fn review(pod: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u", "namespace": "models", "operation": "CREATE", "object": pod },
    });
    serde_json::to_vec(&review).unwrap()
}

fn outcome(pod: &Value, native_sidecar: bool, sidecar: &Sidecar) -> Outcome {
    let facts = Facts {
        namespace: "models",
        container: None,
        native_sidecar,
        sidecar,
    };
    inject_value(pod, &facts).unwrap()
}

/// Returns the pod with the patch of the webhook, which parses only a part of the pod.
fn admitted(pod: &Value, native_sidecar: bool, sidecar: &Sidecar) -> Value {
    let admitted = admit(&review(pod), sidecar, native_sidecar).unwrap();
    let response: Value = serde_json::from_slice(&admitted.body).unwrap();
    let mut pod = pod.clone();
    if let Some(patch) = response["response"]["patch"].as_str() {
        let patch = STANDARD.decode(patch).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
    }
    pod
}

#[test]
fn the_webhook_changes_a_pod_like_the_command_line() {
    for case in CASES.iter() {
        let sidecar = sidecar(case.auth);
        let mut expected = case.before.clone();
        let outcome = outcome(&case.before, case.native_sidecar, &sidecar);
        apply(&outcome.changes(), &mut expected);
        let found = admitted(&case.before, case.native_sidecar, &sidecar);
        assert_eq!(found, expected, "{}", case.name());
    }
}

/// Values of annotations: arbitrary text, and text that is almost valid.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9]{1,6}",
        "/[a-z./$(){}`\\\\;~ -]{0,20}",
        "[0-9.]{1,4}(ms|s|m|h|Mi|m|k|e3)?",
        "[a-zA-Z0-9./:@_-]{1,40}",
        "[ａ-ｚ０-９]{1,8}",
    ]
}

const KEYS: [&str; 12] = [
    annotations::METRICS_PORT,
    annotations::METRICS_PATH,
    annotations::MANAGEMENT_PORT,
    annotations::MANAGEMENT_TOKEN_FILE,
    annotations::SCRAPE_INTERVAL,
    annotations::IMAGE,
    annotations::CPU_REQUEST,
    annotations::CPU_LIMIT,
    annotations::MEMORY_REQUEST,
    annotations::MEMORY_LIMIT,
    annotations::DRAIN_DEADLINE,
    annotations::CONTAINER,
];

/// A pod of up to 99 containers, with known and unknown fields.
fn pod() -> impl Strategy<Value = Value> {
    let container = ("[a-z]{1,8}", any::<bool>(), 0..70_000_i32, any::<String>());
    let containers = vec(container, 1..100).prop_map(|containers| {
        let made = containers.iter().enumerate().map(|(index, (name, stops, port, text))| {
            let mut container = json!({
                "name": format!("{name}-{index}"), "image": name, "args": [text], "fieldOfTomorrow": text,
                "ports": [ { "containerPort": port } ],
            });
            if *stops {
                container["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 1 } } });
            }
            container
        });
        made.collect::<Vec<_>>()
    });
    let grace = prop_oneof![Just(Value::Null), (0..900_i64).prop_map(Value::from)];
    let init = any::<Option<bool>>();
    (containers, grace, init, any::<String>()).prop_map(|(mut containers, grace, init, text)| {
        containers[0]["name"] = json!("torchserve");
        let mut spec = json!({ "containers": containers, "terminationGracePeriodSeconds": grace, "tomorrow": text });
        if let Some(some) = init {
            spec["initContainers"] = if some { json!([{ "name": "first", "image": text }]) } else { json!([]) };
        }
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "future": text }, "spec": spec })
    })
}

/// Removes everything that the injector adds, and the lists that are empty then.
fn without_injected(pod: &Value) -> Value {
    let mut pod = pod.clone();
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("terminationGracePeriodSeconds");
    for list in ["initContainers", "containers", "volumes"] {
        let Some(items) = spec.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        items.retain(|item| {
            item["name"] != "pushscale-sidecar" && item["name"] != "pushscale-trust"
        });
        if items.is_empty() {
            spec.remove(list);
        }
    }
    let hook = json!({ "preStop": { "httpGet": { "path": "/drain", "port": 8492 } } });
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        let fields = container.as_object_mut().unwrap();
        if fields.get("lifecycle") == Some(&hook) {
            fields.remove("lifecycle");
        }
    }
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.remove("annotations");
    pod
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_gets_a_response_or_an_error_message(bytes in vec(any::<u8>(), 0..2000)) {
        if let Err(error) = admit(&bytes, &sidecar(Auth::Token), true) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_mutated_review_allows_the_pod_or_is_rejected_with_a_message(
        case in any::<prop::sample::Index>(),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut body = review(&case.get(&CASES).before);
        for (index, byte, kind) in mutations {
            let at = index.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => { body.remove(at); }
            }
        }
        match admit(&body, &sidecar(Auth::Token), true) {
            Ok(admitted) => {
                let response: Value = serde_json::from_slice(&admitted.body).unwrap();
                prop_assert_eq!(&response["response"]["allowed"], &json!(true));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn only_valid_annotation_values_reach_the_pod(
        annotations in vec((prop::sample::select(KEYS.to_vec()), value()), 1..4),
    ) {
        let mut before = json!({ "metadata": { "annotations": {} }, "spec": { "containers": [
            { "name": "torchserve", "securityContext": { "runAsUser": 7 },
              "volumeMounts": [ { "name": "v", "mountPath": "/" } ] } ] } });
        for (key, value) in &annotations {
            before["metadata"]["annotations"][key] = json!(value);
        }
        let sidecar = sidecar(Auth::Token);
        match outcome(&before, true, &sidecar) {
            Outcome::Injected(_) => {
                let mut pod = before.clone();
                apply(&outcome(&before, true, &sidecar).changes(), &mut pod);
                let text = pod["spec"]["initContainers"][0].to_string();
                let safe = |character: char| character.is_ascii_alphanumeric() || "{}[]\":,/._~@-".contains(character);
                prop_assert!(text.chars().all(safe), "{}", text);
            }
            Outcome::Skipped(skip) => {
                prop_assert_eq!(skip.reason(), "InvalidAnnotation");
                let message = skip.message();
                prop_assert!(!message.contains(char::is_control), "{}", message);
                prop_assert!(message.len() < 4096);
            }
        }
    }

    #[test]
    fn injection_keeps_all_fields_and_is_idempotent(before in pod(), native in any::<bool>(), token in any::<bool>()) {
        let sidecar = sidecar(if token { Auth::Token } else { Auth::None });
        let mut pod = before.clone();
        let first = outcome(&pod, native, &sidecar);
        let patch = apply(&first.changes(), &mut pod);
        let mut patched = before.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        prop_assert_eq!(&patched, &pod);
        prop_assert_eq!(without_injected(&pod), without_injected(&before));
        prop_assert_eq!(&admitted(&before, native, &sidecar), &pod);
        if matches!(first, Outcome::Injected(_)) {
            let old = before["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
            let new = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
            prop_assert!(new >= old, "shorter: {} {}", old, new);
        }
        let once = pod.clone();
        apply(&outcome(&pod, native, &sidecar).changes(), &mut pod);
        prop_assert_eq!(pod, once);
    }
}
