//! The sidecar's container, and its volume.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME};
use pushscale_protocol::{
    CA_CONFIG_MAP, CA_FILE, CREDENTIALS_DIR, DRAIN_PATH, SIDECAR_PORT, TOKEN_AUDIENCE, TOKEN_FILE,
};
use serde_json::{Map, Value, json};

use crate::annotation::{Management, Wishes};
use crate::facts::{Facts, Trust};
use crate::token_file::TokenFile;
use crate::torchserve::TorchServe;

/// The name of the sidecar's port, for those who look it up by name.
pub(crate) const PORT_NAME: &str = "pushscale";

/// Whom images from scratch run as.
const NOBODY: i64 = 65532;

/// Renewed by the kubelet when four fifths are over.
const TOKEN_SECONDS: u32 = 3600;

/// The sidecar's container.
pub(crate) fn sidecar(
    facts: &Facts<'_>,
    wishes: &Wishes,
    server: TorchServe<'_>,
    token_file: Option<&TokenFile>,
    port_name_is_free: bool,
) -> Value {
    let mut port = json!({ "containerPort": SIDECAR_PORT });
    if port_name_is_free {
        port["name"] = json!(PORT_NAME);
    }
    let resources = &wishes.resources;
    let mut limits = json!({ "memory": resources.memory_limit });
    if let Some(cpu) = &resources.cpu_limit {
        limits["cpu"] = json!(cpu);
    }
    let image = wishes.image.as_ref().unwrap_or(&facts.sidecar.image);
    let mut container = json!({
        "name": SIDECAR_CONTAINER,
        "image": image,
        "imagePullPolicy": facts.sidecar.pull_policy.as_str(),
        "env": environment(facts, wishes, server),
        "ports": [port],
        // By number: the name may be another container's.
        "livenessProbe": { "httpGet": { "path": "/live", "port": SIDECAR_PORT } },
        // Requests are always set: without them an HPA on CPU could not look at this pod any more.
        "resources": {
            "requests": { "cpu": resources.cpu_request, "memory": resources.memory_request },
            "limits": limits,
        },
        // All that the restricted pod security standard asks for: in a namespace under it a sidecar with less would
        // keep the pod out.
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": token_file.map_or(NOBODY, |token_file| token_file.user),
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    let mut mounts = Vec::new();
    if facts.sidecar.trust == Trust::Token {
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
        // A plain container is told to end together with TorchServe; it must be there until TorchServe is drained.
        container["lifecycle"] = json!({ "preStop": drain() });
    }
    container
}

/// The hook that waits until nothing is queued and nothing in service.
pub(crate) fn drain() -> Value {
    json!({ "httpGet": { "path": DRAIN_PATH, "port": SIDECAR_PORT } })
}

/// The volume with the sidecar's token and the aggregator's CA.
pub(crate) fn trust_volume() -> Value {
    json!({
        "name": TRUST_VOLUME,
        "projected": {
            "defaultMode": 0o444,
            "sources": [
                { "serviceAccountToken": {
                    "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN_FILE,
                } },
                // Optional: a namespace that does not have it yet must not keep a model server from starting.
                { "configMap": {
                    "name": CA_CONFIG_MAP, "optional": true, "items": [{ "key": CA_FILE, "path": CA_FILE }],
                } },
            ],
        },
    })
}

fn environment(facts: &Facts<'_>, wishes: &Wishes, server: TorchServe<'_>) -> Vec<Value> {
    let mut variables = vec![said("AGGREGATOR", &facts.sidecar.aggregator)];
    for (name, field) in [
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_NAME", "metadata.name"),
        ("POD_UID", "metadata.uid"),
    ] {
        variables.push(variable(
            name,
            "valueFrom",
            json!({ "fieldRef": { "fieldPath": field } }),
        ));
    }
    // What is as the sidecar has it by itself is not said.
    let port = wishes.metrics_port.unwrap_or(server.metrics_port);
    if port != 8082 {
        variables.push(said("METRICS_URL", &format!("http://127.0.0.1:{port}")));
    }
    match wishes.management {
        Some(Management::Off) => variables.push(said("MANAGEMENT_URL", "off")),
        other => {
            let port = match other {
                Some(Management::Port(port)) => port,
                _ => server.management_port,
            };
            if port != 8081 {
                variables.push(said("MANAGEMENT_URL", &format!("http://127.0.0.1:{port}")));
            }
        }
    }
    for (name, value) in [
        ("METRICS_PATH", wishes.metrics_path.as_deref()),
        ("MANAGEMENT_TOKEN_FILE", wishes.token_file.as_deref()),
        ("SCRAPE_INTERVAL", wishes.interval.as_deref()),
        (
            "DRAIN_DEADLINE",
            wishes
                .drain_deadline
                .as_ref()
                .map(|span| span.text.as_str()),
        ),
    ] {
        variables.extend(value.map(|value| said(name, value)));
    }
    if facts.sidecar.trust == Trust::Token {
        variables.push(said(
            "TOKEN_FILE",
            &format!("{CREDENTIALS_DIR}/{TOKEN_FILE}"),
        ));
        variables.push(said("CA_FILE", &format!("{CREDENTIALS_DIR}/{CA_FILE}")));
    }
    variables
}

fn said(name: &str, value: &str) -> Value {
    variable(name, "value", json!(value))
}

fn variable(name: &str, source: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([
        (
            "name".to_owned(),
            json!(format!("PUSHSCALE_SIDECAR_{name}")),
        ),
        (source.to_owned(), value),
    ]))
}
