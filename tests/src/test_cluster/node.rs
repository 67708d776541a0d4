//! The command lines of the node: kubelet, kube-proxy and CoreDNS.

use serde_json::json;

use super::component::CommandLine;
use super::control_plane::{kubeconfig, line};
use super::error::ClusterError;
use super::identities::NODE_NAME;
use super::site::Site;

/// Writes the configuration and returns the command line.
pub(crate) fn kubelet(site: &Site) -> Result<CommandLine, ClusterError> {
    let state = site.state.path();
    let address = site.address();
    // Pods without cluster DNS must not use the machine's name servers either.
    let resolv_conf = site
        .state
        .write("resolv.conf", &format!("nameserver {address}\n"))?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": state.join("pki/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": state.join("pki/kubelet.crt"),
        "tlsPrivateKeyFile": state.join("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", site.state.containerd_socket().display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", site.state.id()),
        // The machine may have the first version of cgroups, swap, and a full disk.
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        // Lowering it takes CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "clusterDNS": [address],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "podLogsDir": site.state.logs().join("pods"),
        "volumePluginDir": state.join("kubelet/volume-plugins"),
    });
    let config = site
        .state
        .write("kubelet.config", &format!("{config:#}\n"))?;
    let arguments = vec![
        kubeconfig(site, "kubelet"),
        format!("--config={}", config.display()),
        format!("--root-dir={}", state.join("kubelet").display()),
        format!("--node-ip={address}"),
        format!("--hostname-override={NODE_NAME}"),
    ];
    line(site, "kubelet", arguments)
}

/// Returns the command line of kube-proxy, which routes Service addresses to pods.
pub(crate) fn kube_proxy(site: &Site) -> Result<CommandLine, ClusterError> {
    let mut arguments = vec![
        kubeconfig(site, "kube-proxy"),
        format!("--hostname-override={NODE_NAME}"),
        "--proxy-mode=nftables".to_owned(),
        "--cluster-cidr=198.18.0.0/24".to_owned(),
        "--oom-score-adj=0".to_owned(),
    ];
    // These settings apply to the machine, not to the namespace. With zero, kube-proxy does not change them.
    arguments.extend(
        [
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ]
        .map(str::to_owned),
    );
    line(site, "kube-proxy", arguments)
}

/// Writes the configuration and returns the command line. Names outside the cluster do not exist.
pub(crate) fn coredns(site: &Site) -> Result<CommandLine, ClusterError> {
    let corefile = format!(
        "\
.:53 {{
    bind {address}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        address = site.address(),
        kubeconfig = site.state.kubeconfig_of("coredns").display(),
    );
    let path = site.state.write("Corefile", &corefile)?;
    line(site, "coredns", vec![format!("-conf={}", path.display())])
}
