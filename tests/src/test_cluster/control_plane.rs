//! The command lines of the control plane: etcd, kube-apiserver, kube-controller-manager and
//! kube-scheduler.

use super::component::CommandLine;
use super::error::ClusterError;
use super::shape::Shape;
use super::site::Site;

/// Returns the command line of etcd, which uses unix sockets, so that it needs no port and no other user can connect.
/// The paths are relative, because all components run in the cluster's directory.
pub(crate) fn etcd(site: &Site) -> Result<CommandLine, ClusterError> {
    let arguments = [
        "--data-dir=etcd",
        // The data need not survive a crash of the machine.
        "--unsafe-no-fsync",
        "--listen-client-urls=unix://etcd.sock",
        "--advertise-client-urls=unix://etcd.sock",
        "--listen-peer-urls=unix://etcd-peer.sock",
        "--initial-advertise-peer-urls=unix://etcd-peer.sock",
        "--initial-cluster=default=unix://etcd-peer.sock",
    ];
    line(site, "etcd", arguments.map(str::to_owned).into())
}

/// Returns the command line of the API server, on the cluster's address and this port.
pub(crate) fn api_server(site: &Site, port: u16) -> Result<CommandLine, ClusterError> {
    let pki = site.state.pki();
    let pki = pki.display();
    let address = site.address();
    let mut arguments = vec![
        "--etcd-servers=unix://etcd.sock".to_owned(),
        format!("--advertise-address={address}"),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={pki}/kube-apiserver.crt"),
        format!("--tls-private-key-file={pki}/kube-apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={pki}/service-account.pub"),
        format!("--service-account-signing-key-file={pki}/service-account.key"),
        // Aggregated APIs. The API server connects to the pods of a Service directly, so that neither these nor
        // webhooks need kube-proxy.
        "--enable-aggregator-routing".to_owned(),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        format!("--proxy-client-cert-file={pki}/front-proxy-client.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy-client.key"),
        // For logs and exec.
        format!("--kubelet-certificate-authority={pki}/ca.crt"),
        format!("--kubelet-client-certificate={pki}/kube-apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={pki}/kube-apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ];
    if site.shape == Shape::ControlPlane {
        arguments.push(format!("--bind-address={address}"));
        // The API server rejects a loopback address as an endpoint of the Service "kubernetes".
        arguments.push("--endpoint-reconciler-type=none".to_owned());
    }
    line(site, "kube-apiserver", arguments)
}

/// Returns the command line of kube-controller-manager, with all controllers of a standard cluster and their usual
/// permissions.
pub(crate) fn controller_manager(site: &Site) -> Result<CommandLine, ClusterError> {
    let pki = site.state.pki();
    let pki = pki.display();
    let component = "kube-controller-manager";
    let arguments = vec![
        kubeconfig(site, component),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--use-service-account-credentials".to_owned(),
        // A new cluster causes a burst of work. The defaults of 20 and 30 would delay it by seconds.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
        format!("--service-account-private-key-file={pki}/service-account.key"),
        format!("--root-ca-file={pki}/ca.crt"),
    ];
    line(site, component, arguments)
}

pub(crate) fn scheduler(site: &Site) -> Result<CommandLine, ClusterError> {
    let component = "kube-scheduler";
    let arguments = vec![
        kubeconfig(site, component),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ];
    line(site, component, arguments)
}

/// The kubeconfig option of a component.
pub(crate) fn kubeconfig(site: &Site, component: &str) -> String {
    let path = site.state.kubeconfig_of(component);
    format!("--kubeconfig={}", path.display())
}

/// Returns the command line of one of the cluster's programs.
pub(crate) fn line(
    site: &Site,
    component: &'static str,
    arguments: Vec<String>,
) -> Result<CommandLine, ClusterError> {
    Ok(CommandLine {
        component,
        program: site.programs.path(component)?,
        arguments,
    })
}
