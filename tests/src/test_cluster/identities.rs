//! The identities of a cluster: certificates and kubeconfigs of all components and of the administrator.

use std::net::IpAddr;

use serde_json::json;

use super::certificates::{Authority, Subject, write_key_pair};
use super::error::ClusterError;
use super::state::StateDir;

/// The name of the cluster's one node.
pub(crate) const NODE_NAME: &str = "node";
/// The first address of the service range, which the Service `kubernetes` gets.
pub(crate) const API_SERVICE_ADDRESS: &str = "10.96.0.1";

/// The users that have a kubeconfig, with their groups. The API server's built-in roles are bound to these names.
const USERS: [(&str, &str, Option<&str>); 6] = [
    ("admin", "kubernetes-admin", Some("system:masters")),
    (
        "kube-controller-manager",
        "system:kube-controller-manager",
        None,
    ),
    ("kube-scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
    // No built-in role fits CoreDNS. Its permissions are not under test.
    ("coredns", "coredns", Some("system:masters")),
    ("kubelet", "system:node:node", Some("system:nodes")),
];

/// Writes all certificates and keys below `pki/`.
pub(crate) fn write_certificates(state: &StateDir, address: IpAddr) -> Result<(), ClusterError> {
    let directory = state.directory("pki")?;
    let authority = Authority::create(&directory, "ca")?;
    let address = address.to_string();
    authority.issue(
        "kube-apiserver",
        Subject {
            user: "kube-apiserver",
            group: None,
            served_as: &[
                "localhost",
                "127.0.0.1",
                &address,
                API_SERVICE_ADDRESS,
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
            ],
        },
    )?;
    authority.issue(
        "kube-apiserver-kubelet-client",
        Subject {
            user: "kube-apiserver-kubelet-client",
            group: Some("system:masters"),
            served_as: &[],
        },
    )?;
    for (file, user, group) in USERS {
        // Only kubelet uses its certificate as a server, for logs and exec.
        let served_as: &[&str] = match file {
            "kubelet" => &[NODE_NAME, &address],
            _ => &[],
        };
        authority.issue(
            file,
            Subject {
                user,
                group,
                served_as,
            },
        )?;
    }
    // A separate authority, because any of its certificates can impersonate any user.
    Authority::create(&directory, "front-proxy-ca")?.issue(
        "front-proxy-client",
        Subject {
            user: "front-proxy-client",
            ..Subject::default()
        },
    )?;
    write_key_pair(&directory, "service-account")
}

/// Writes a kubeconfig for each user, for an API server at this address and port.
pub(crate) fn write_kubeconfigs(
    state: &StateDir,
    address: IpAddr,
    port: u16,
) -> Result<(), ClusterError> {
    let pki = state.pki();
    for (file, ..) in USERS {
        // JSON is YAML, so kubectl and all clients read it.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "dev",
                "cluster": {
                    "server": format!("https://{address}:{port}"),
                    "certificate-authority": pki.join("ca.crt"),
                },
            }],
            "users": [{
                "name": file,
                "user": {
                    "client-certificate": pki.join(format!("{file}.crt")),
                    "client-key": pki.join(format!("{file}.key")),
                },
            }],
            "contexts": [{
                "name": "dev",
                "context": { "cluster": "dev", "user": file, "namespace": "default" },
            }],
            "current-context": "dev",
        });
        state.write(&format!("{file}.kubeconfig"), &format!("{config:#}\n"))?;
    }
    Ok(())
}
