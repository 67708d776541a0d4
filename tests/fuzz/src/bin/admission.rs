//! The AdmissionReview, in the injector. The input is a review, and the pod of another one. A pod is always allowed,
//! keeps its fields, and is not changed by a second review.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_fuzz::{is_readable, keeps};
use pushscale_injector::{Auth, PullPolicy, Sidecar, admit};
use serde_json::{Value, json};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    review(data, true, Auth::Token);
    let Ok(pod) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for (native_sidecar, auth) in [(true, Auth::Token), (false, Auth::None)] {
        // Too many levels of JSON are an error.
        let Some(first) = review(&review_of(&pod), native_sidecar, auth) else {
            return;
        };
        if let Some(second) = review(&review_of(&first.pod), native_sidecar, auth) {
            assert!(!second.is_patched, "a second review changes {}", first.pod);
        }
    }
});

fn review_of(pod: &Value) -> Vec<u8> {
    let request =
        json!({ "uid": "u", "namespace": "models", "operation": "CREATE", "object": pod });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request,
    });
    review.to_string().into_bytes()
}

struct Reviewed {
    pod: Value,
    is_patched: bool,
}

/// Reviews a pod; `None` if the review is invalid.
fn review(body: &[u8], native_sidecar: bool, auth: Auth) -> Option<Reviewed> {
    let sidecar = Sidecar {
        image: "pushscale/sidecar:0.1.0".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        auth,
        own_namespace: Some("pushscale".to_owned()),
    };
    let admitted = match admit(body, &sidecar, native_sidecar) {
        Ok(admitted) => admitted,
        Err(error) => {
            is_readable(&error);
            return None;
        }
    };
    let answer: Value = serde_json::from_slice(&admitted.body).expect("the answer is JSON");
    let response = &answer["response"];
    assert_eq!(response["allowed"], true);
    for warning in response["warnings"].as_array().into_iter().flatten() {
        let warning = warning.as_str().expect("a warning is text");
        assert!(warning.chars().count() <= 250, "{warning}");
        assert!(!warning.contains(char::is_control), "{warning:?}");
    }

    let review: Value = serde_json::from_slice(body).ok()?;
    let before = &review["request"]["object"];
    let mut after = before.clone();
    let patch = response["patch"].as_str();
    if let Some(patch) = patch {
        // serde also reads a review from a list.
        if !before.is_object() {
            return None;
        }
        let patch = STANDARD.decode(patch).expect("the patch is in base64");
        let patch: Patch = serde_json::from_slice(&patch).expect("the patch is a JSON patch");
        json_patch::patch(&mut after, &patch).expect("the patch applies");
        if let Some(message) = after["metadata"]["annotations"]["pushscale.dev/skipped"].as_str() {
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
    assert!(keeps(before, &after), "{before} {after}");
    Some(Reviewed {
        pod: after,
        is_patched: patch.is_some(),
    })
}
