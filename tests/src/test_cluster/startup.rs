//! Starts the components of a cluster in order, and waits until it is usable.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::api_server::ApiServer;
use super::component::{CommandLine, Components, log_tail};
use super::error::ClusterError;
use super::identities::{self, API_SERVICE_ADDRESS, NODE_NAME};
use super::report::Report;
use super::shape::Shape;
use super::site::Site;
use super::{cgroups, containerd, control_plane, import, network, node};

/// A cluster that is being started.
pub(crate) struct Startup {
    pub(crate) site: Site,
    pub(crate) components: Components,
    /// Set when the cluster must stop.
    pub(crate) stop: Arc<AtomicBool>,
}

/// The API server's port in the node shape.
const API_PORT: u16 = 6443;
/// Maximum number of API server starts. Another program may take the port before the API server does.
const PORT_ATTEMPTS: usize = 3;

impl Startup {
    /// Starts everything, and returns when the cluster is usable.
    pub(crate) fn run(&mut self) -> Result<(), ClusterError> {
        identities::write_certificates(&self.site.state, self.site.address())?;
        match self.site.shape {
            Shape::ControlPlane => self.control_plane(),
            Shape::Node => self.node(),
        }
    }

    fn control_plane(&mut self) -> Result<(), ClusterError> {
        self.start(control_plane::etcd(&self.site)?)?;
        self.api_server_on_a_free_port()?;
        self.start(control_plane::controller_manager(&self.site)?)?;
        self.wait_for_service_account()
    }

    fn node(&mut self) -> Result<(), ClusterError> {
        network::create(&self.site.state, self.site.address())?;
        // All components inherit it, and the probes below use it.
        network::enter(&network::path(&self.site.state))?;
        cgroups::create(&self.site.state)?;

        self.start(control_plane::etcd(&self.site)?)?;
        self.start_api_server(API_PORT)?;
        self.keep_mount_namespace()?;
        self.start(containerd::containerd(&self.site)?)?;
        self.wait_for_containerd()?;
        import::import(&self.site, &containerd::pause_image(&self.site)?)?;
        self.wait_for_api_server(API_PORT)?;

        self.start(control_plane::controller_manager(&self.site)?)?;
        self.start(control_plane::scheduler(&self.site)?)?;
        self.start(node::kubelet(&self.site)?)?;
        self.start(node::kube_proxy(&self.site)?)?;
        self.start(node::coredns(&self.site)?)?;
        self.wait_for_service_account()?;
        self.wait_for_node()?;
        self.wait_for_services()?;
        self.wait_for_dns()
    }

    fn api_server_on_a_free_port(&mut self) -> Result<(), ClusterError> {
        for attempt in 1.. {
            let address = SocketAddr::new(self.site.address(), 0);
            let port = TcpListener::bind(address)
                .and_then(|listener| listener.local_addr())
                .map_err(ClusterError::io("listen on", address.to_string()))?
                .port();
            self.start_api_server(port)?;
            match self.wait_for_api_server(port) {
                Err(ClusterError::Ended { log, .. })
                    if log.0.contains("address already in use") && attempt < PORT_ATTEMPTS =>
                {
                    self.components.forget("kube-apiserver");
                }
                outcome => return outcome,
            }
        }
        Ok(())
    }

    fn start_api_server(&mut self, port: u16) -> Result<(), ClusterError> {
        identities::write_kubeconfigs(&self.site.state, self.site.address(), port)?;
        self.start(control_plane::api_server(&self.site, port)?)
    }

    /// Creates the mount namespace that all later components share.
    fn keep_mount_namespace(&mut self) -> Result<(), ClusterError> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/test-cluster/private-mounts");
        let pause = self.site.programs.path("pause")?.display().to_string();
        let state = self.site.state.path().display().to_string();
        let id = self.components.start(CommandLine {
            component: "mounts",
            program: "unshare".into(),
            arguments: ["--mount", "--propagation=slave", script, &state, &pause]
                .map(str::to_owned)
                .into(),
        })?;
        let ready = self.site.state.path().join("private/ready");
        self.wait("mounts", "the private mounts", 20, || ready.exists())?;
        let namespace = format!("--mount=/proc/{id}/ns/mnt");
        self.components
            .enter_by(vec!["nsenter".to_owned(), namespace]);
        Ok(())
    }

    fn wait_for_api_server(&mut self, port: u16) -> Result<(), ClusterError> {
        let address = SocketAddr::new(self.site.address(), port);
        self.wait("kube-apiserver", "its port", 120, || accepts(address))?;
        let api = self.api();
        self.wait("kube-apiserver", "/readyz", 120, || {
            api.get_path("/readyz").is_ok()
        })
    }

    fn wait_for_service_account(&mut self) -> Result<(), ClusterError> {
        let api = self.api();
        let account = "the default service account";
        self.wait("kube-controller-manager", account, 120, || {
            api.get("default", "serviceaccount", "default").is_ok()
        })
    }

    fn wait_for_containerd(&mut self) -> Result<(), ClusterError> {
        let site = self.site.clone();
        self.wait("containerd", "its socket", 60, || {
            succeeds(containerd::ctr(&site).arg("version"))
        })
    }

    fn wait_for_node(&mut self) -> Result<(), ClusterError> {
        let api = self.api();
        self.wait("kubelet", "the node to be Ready", 120, || {
            let node = api.get("", "node", NODE_NAME).unwrap_or_default();
            let mut conditions = node["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
        })
    }

    fn wait_for_services(&mut self) -> Result<(), ClusterError> {
        let address = format!("{API_SERVICE_ADDRESS}:443");
        self.wait("kube-proxy", "the service address of the API", 60, || {
            address.parse().is_ok_and(accepts)
        })
    }

    fn wait_for_dns(&mut self) -> Result<(), ClusterError> {
        let site = self.site.clone();
        let server = self.site.address().to_string();
        self.wait("coredns", "the name of the Service kubernetes", 60, || {
            let name = "kubernetes.default.svc.cluster.local.";
            succeeds(site.command("probe").args(["resolve", name, &server]))
        })
    }

    /// Returns the API server, with requests that give up after a moment: it may accept one before it can respond.
    fn api(&self) -> ApiServer {
        // This thread is in the cluster's network, which the client's thread inherits.
        let (name, kubeconfig) = (self.site.state.name(), self.site.admin_kubeconfig());
        ApiServer::new(name, kubeconfig, None, Duration::from_secs(2))
    }

    /// Polls until the condition holds. Returns an error if the time is over, a component has exited, or the cluster
    /// must stop.
    fn wait(
        &mut self,
        component: &str,
        waited_for: &str,
        seconds: u64,
        mut is_so: impl FnMut() -> bool,
    ) -> Result<(), ClusterError> {
        let start = Instant::now();
        let mut report_at = Duration::from_secs(2);
        while !is_so() {
            self.components.check(waited_for)?;
            if self.stop.load(Ordering::SeqCst) {
                return Err(ClusterError::Stopped {
                    waited_for: waited_for.to_owned(),
                });
            }
            let waited = start.elapsed();
            if waited > Duration::from_secs(seconds) {
                return Err(ClusterError::Timeout {
                    component: component.to_owned(),
                    waited_for: waited_for.to_owned(),
                    seconds,
                    log: log_tail(&self.site.state.log_of(component)),
                });
            }
            if waited > report_at {
                let seconds = waited.as_secs();
                let text = format!("waiting for {component}: {waited_for} ({seconds} s)");
                Report::Progress(text).send(std::io::stdout());
                report_at = waited + Duration::from_secs(10);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn start(&mut self, line: CommandLine) -> Result<(), ClusterError> {
        self.components.start(line).map(|_id| ())
    }
}

fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
