//! The sidecar's container and its volume.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME};
use pushscale_protocol::{
    CA_CONFIG_MAP, CA_FILE, CREDENTIALS_DIR, DRAIN_PATH, SIDECAR_ENV_PREFIX, SIDECAR_PORT,
    TOKEN_AUDIENCE, TOKEN_FILE, TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT,
};
use serde_json::{Value, json};

use crate::annotation::{Management, Overrides, Resources, format_duration};
use crate::facts::{Auth, Facts};
use crate::pod::PORT_NAME;
use crate::token_file::TokenFile;
use crate::torchserve::TorchServe;

/// The user of Pushscale's images (Dockerfile).
const NONROOT_UID: i64 = 65532;

/// The lifetime of the token. The kubelet renews it after 80%.
const TOKEN_SECONDS: u32 = 3600;

/// Returns the sidecar's container.
pub(crate) fn sidecar(
    facts: &Facts<'_>,
    overrides: &Overrides,
    resources: &Resources,
    server: &TorchServe<'_>,
    token_file: Option<&TokenFile>,
    port_name_is_free: bool,
) -> Value {
    let mut port = json!({ "containerPort": SIDECAR_PORT });
    if port_name_is_free {
        port["name"] = json!(PORT_NAME);
    }
    let mut limits = json!({ "memory": resources.memory_limit });
    if let Some(cpu) = &resources.cpu_limit {
        limits["cpu"] = json!(cpu);
    }
    let image = overrides.image.as_ref().unwrap_or(&facts.sidecar.image);
    let mut container = json!({
        "name": SIDECAR_CONTAINER,
        "image": image,
        "imagePullPolicy": facts.sidecar.pull_policy.as_str(),
        "env": environment(facts, overrides, server),
        "ports": [port],
        // By number, since another container may have the port name.
        "livenessProbe": { "httpGet": { "path": "/live", "port": SIDECAR_PORT } },
        // Requests are always set: without them an HPA on CPU utilisation fails for this pod.
        "resources": {
            "requests": { "cpu": resources.cpu_request, "memory": resources.memory_request },
            "limits": limits,
        },
        // The restricted Pod Security Standard rejects a pod if any container has less than this.
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": token_file.map_or(NONROOT_UID, |token_file| token_file.user),
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let mut mounts = Vec::new();
    if facts.sidecar.auth == Auth::Token {
        mounts
            .push(json!({ "name": TRUST_VOLUME, "mountPath": CREDENTIALS_DIR, "readOnly": true }));
    }
    mounts.extend(token_file.map(|token_file| token_file.mount.clone()));
    if !mounts.is_empty() {
        container["volumeMounts"] = Value::Array(mounts);
    }
    if facts.native_sidecar {
        container["restartPolicy"] = json!("Always");
    } else {
        // The kubelet stops ordinary containers at the same time, but the sidecar has to run until TorchServe has
        // drained.
        container["lifecycle"] = json!({ "preStop": drain() });
    }
    container
}

/// Returns the hook that waits until TorchServe has no waiting and no in-flight requests.
pub(crate) fn drain() -> Value {
    json!({ "httpGet": { "path": DRAIN_PATH, "port": SIDECAR_PORT } })
}

/// Returns the volume with the sidecar's token and the aggregator's CA.
pub(crate) fn trust_volume() -> Value {
    json!({
        "name": TRUST_VOLUME,
        "projected": {
            "defaultMode": 0o444,
            "sources": [
                { "serviceAccountToken": {
                    "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN_FILE,
                } },
                // Optional, so that model servers start in a namespace that does not have the ConfigMap yet.
                { "configMap": {
                    "name": CA_CONFIG_MAP, "optional": true, "items": [{ "key": CA_FILE, "path": CA_FILE }],
                } },
            ],
        },
    })
}

fn environment(facts: &Facts<'_>, overrides: &Overrides, server: &TorchServe<'_>) -> Vec<Value> {
    let mut variables = vec![variable("AGGREGATOR", &facts.sidecar.aggregator)];
    for (name, field) in [
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_NAME", "metadata.name"),
        ("POD_UID", "metadata.uid"),
    ] {
        variables.push(json!({
            "name": prefixed(name), "valueFrom": { "fieldRef": { "fieldPath": field } },
        }));
    }
    // Defaults of the sidecar are omitted.
    if let Some(port) = overrides
        .metrics_port
        .filter(|port| *port != TORCHSERVE_METRICS_PORT)
    {
        variables.push(variable("METRICS_URL", &format!("http://127.0.0.1:{port}")));
    }
    let management = overrides
        .management
        .unwrap_or_else(|| Management::Port(server.management_port()));
    match management {
        Management::Off => variables.push(variable("MANAGEMENT_URL", "off")),
        Management::Port(TORCHSERVE_MANAGEMENT_PORT) => {}
        Management::Port(port) => variables.push(variable(
            "MANAGEMENT_URL",
            &format!("http://127.0.0.1:{port}"),
        )),
    }
    for (name, value) in [
        ("METRICS_PATH", overrides.metrics_path.clone()),
        ("MANAGEMENT_TOKEN_FILE", overrides.token_file.clone()),
        (
            "SCRAPE_INTERVAL",
            overrides.scrape_interval.as_ref().map(format_duration),
        ),
        (
            "DRAIN_DEADLINE",
            overrides.drain_deadline.as_ref().map(format_duration),
        ),
    ] {
        variables.extend(value.map(|value| variable(name, &value)));
    }
    if facts.sidecar.auth == Auth::Token {
        for (name, file) in [("TOKEN_FILE", TOKEN_FILE), ("CA_FILE", CA_FILE)] {
            variables.push(variable(name, &format!("{CREDENTIALS_DIR}/{file}")));
        }
    }
    variables
}

fn variable(name: &str, value: &str) -> Value {
    json!({ "name": prefixed(name), "value": value })
}

fn prefixed(name: &str) -> String {
    format!("{SIDECAR_ENV_PREFIX}_{name}")
}
