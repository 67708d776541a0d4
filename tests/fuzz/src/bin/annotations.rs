//! The annotations of a pod, in the injector. A line of the input is one annotation. The sidecar accepts the settings
//! that the injector accepts, Kubernetes accepts the resources, and a message fits into an annotation.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pushscale_daemon::config::Settings;
use pushscale_injector::{Auth, Facts, Outcome, PullPolicy, Sidecar, apply, inject_value};
use pushscale_sidecar::{Config, PROGRAM};
use regex::Regex;
use serde_json::{Map, Value, json};

/// Kubernetes' grammar of a quantity that is not negative.
static QUANTITY: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
    Regex::new(pattern).expect("the pattern is valid")
});

fuzz_target!(|text: &str| {
    let annotations: Map<String, Value> = text
        .split('\n')
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (format!("pushscale.dev/{key}"), json!(value)))
        .collect();
    let mut pod = json!({
        "metadata": { "name": "torchserve", "annotations": annotations },
        "spec": { "containers": [{
            "name": "torchserve",
            "securityContext": { "runAsUser": 1000 },
            "volumeMounts": [{ "name": "keys", "mountPath": "/keys" }],
        }] },
    });
    let sidecar = Sidecar {
        image: "pushscale/sidecar:0.1.0".to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
        aggregator: "pushscale-aggregator.pushscale.svc.cluster.local.:8490".to_owned(),
        auth: Auth::None,
        own_namespace: None,
    };
    let facts = Facts {
        namespace: "models",
        container: None,
        native_sidecar: true,
        sidecar: &sidecar,
    };
    let outcome = inject_value(&pod, &facts).expect("it is a pod");
    if let Outcome::Skipped(skip) = &outcome {
        let message = skip.message();
        assert!(!message.contains(char::is_control), "{message:?}");
        assert!(message.len() < 4096, "{message}");
        return;
    }
    apply(&outcome.changes(), &mut pod);
    let container = &pod["spec"]["initContainers"][0];
    let variables = container["env"]
        .as_array()
        .expect("the sidecar has settings");
    let pairs = variables.iter().map(|variable| {
        let name = variable["name"].as_str().expect("a variable has a name");
        // Others are fields of the pod.
        (name, variable["value"].as_str().unwrap_or("torchserve"))
    });
    let settings = Settings::from_pairs(&PROGRAM, pairs).expect("settings are text");
    if let Err(errors) = Config::from_settings(settings) {
        panic!("the sidecar rejects {variables:?}: {errors:?}");
    }
    for resource in ["cpu", "memory"] {
        let given = ["requests", "limits"].map(|list| {
            let text = container["resources"][list][resource].as_str()?;
            assert!(QUANTITY.is_match(text), "{text:?}");
            Some(quantity(text))
        });
        if let [Some(request), Some(limit)] = given {
            assert!(
                request <= limit * (1.0 + 1e-12),
                "{}",
                container["resources"]
            );
        }
    }
});

/// Returns an approximation of a quantity.
fn quantity(text: &str) -> f64 {
    let end = text
        .find(|one: char| one.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().expect("a number");
    let binary = |power| 1024_f64.powi(power);
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => 10_f64.powi(exponent[1..].parse().expect("an exponent")),
    };
    number * factor
}
