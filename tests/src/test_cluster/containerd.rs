//! containerd, which runs the containers by way of runc, and its network plugins.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::component::CommandLine;
use super::error::ClusterError;
use super::image::Image;
use super::site::Site;

/// The image of the process that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "pushscale.test/pause:1";

/// Writes the configuration and returns the command line.
pub(crate) fn containerd(site: &Site) -> Result<CommandLine, ClusterError> {
    let state = site.state.path().display();
    let plugins = network_plugins()?;
    site.state.directory("cni")?;
    site.state
        .write("cni/10-pods.conflist", &network_configuration(site))?;
    // The native snapshotter copies where overlayfs would mount: the images here have a few MB,
    // and it works on any file system, an overlay among them.
    let config = format!(
        r#"version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
disabled_plugins = [
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{state}/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Root in a sandbox may lack CAP_SYS_RESOURCE; runc could not lower the score, and would report no
# more than "can't get final child's PID from pipe".
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{state}/cni"
"#,
        socket = site.state.containerd_socket().display(),
        plugins = plugins.display(),
    );
    let path = site.state.write("containerd.toml", &config)?;
    Ok(CommandLine {
        component: "containerd",
        program: PathBuf::from("containerd"),
        arguments: vec![format!("--config={}", path.display())],
    })
}

/// containerd's own client, for the images and containers of Kubernetes.
pub(crate) fn ctr(site: &Site) -> Command {
    let mut command = site.command("ctr");
    command
        .arg("--address")
        .arg(site.state.containerd_socket())
        .args(["--namespace", "k8s.io"]);
    command
}

/// The image with the pause program.
pub(crate) fn pause_image(site: &Site) -> Result<Image, ClusterError> {
    Ok(Image {
        name: PAUSE_IMAGE.to_owned(),
        files: vec![("/pause".into(), site.programs.path("pause")?, 0o755)],
        entrypoint: vec!["/pause".to_owned()],
        user: None,
    })
}

/// Returns the configuration of the pod network. Each pod has its own link to the node. On a bridge, two pods would
/// communicate directly and bypass the address translation of a Service, unless the machine has the module
/// br_netfilter.
fn network_configuration(site: &Site) -> String {
    let leases = site.state.path().join("pod-addresses");
    let config = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                // From a range for benchmarks of network devices, which contains no public addresses.
                "ranges": [[{ "subnet": "198.18.0.0/24" }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
                "dataDir": leases,
            },
        }],
    });
    format!("{config:#}\n")
}

fn network_plugins() -> Result<PathBuf, ClusterError> {
    ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
        .into_iter()
        .map(Path::new)
        .find(|directory| directory.join("ptp").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| ClusterError::Provision {
            reason: "no CNI plugins: install containernetworking-plugins".to_owned(),
        })
}
