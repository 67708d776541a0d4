//! Objects of a cluster, for programs of a test that run next to it and not in pods.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::test_cluster::TestCluster;

/// Returns a value of a Secret in `pushscale`.
///
/// # Panics
/// There is no such Secret.
pub fn secret(cluster: &TestCluster, name: &str, key: &str) -> String {
    let secret = cluster.api().get("pushscale", "secret", name).unwrap();
    decode(&secret["data"][key])
}

/// Decodes text that an object has in Base64.
///
/// # Panics
/// It is not UTF-8 in Base64.
pub fn decode(text: &Value) -> String {
    let bytes = BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Writes a TLS Secret in `pushscale` to a directory, like the kubelet to a volume.
///
/// # Panics
/// There is no such Secret, or it cannot be written.
pub fn mount(cluster: &TestCluster, name: &str) -> PathBuf {
    let directory = cluster.logs_dir().join(name);
    fs::create_dir_all(&directory).unwrap();
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        fs::write(directory.join(key), secret(cluster, name, key)).unwrap();
    }
    directory
}

/// Puts this address behind a Service without a selector. Its port has this name.
///
/// # Panics
/// The API server does not accept the address. It may not be loopback.
pub fn route(
    cluster: &TestCluster,
    (namespace, service): (&str, &str),
    port: &str,
    address: SocketAddr,
) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [address.ip()], "conditions": { "ready": true } }],
        "ports": [{ "name": port, "port": address.port(), "protocol": "TCP" }],
    });
    cluster.api().apply(&slice.to_string()).unwrap();
}
