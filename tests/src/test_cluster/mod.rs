//! A real Kubernetes cluster on this machine, for tests, benchmarks and manual work.
//!
//! ```no_run
//! use pushscale_tests::test_cluster::{TestCluster, ClusterError, Shape};
//!
//! let cluster = TestCluster::start(Shape::ControlPlane)?;
//! cluster.api().create_namespace("mine")?;
//! # Ok::<(), ClusterError>(())
//! ```
//!
//! Several clusters can run at the same time, isolated from each other. When an owned cluster is dropped, or its
//! process dies in any way, a supervisor removes everything. `docs/TEST-CLUSTER.md` describes the commands and the
//! known pitfalls.

mod api_server;
mod certificates;
mod cgroups;
mod client;
mod component;
mod containerd;
mod control;
mod control_plane;
mod error;
mod identities;
mod image;
mod import;
mod launch;
mod mounts;
mod network;
mod node;
mod processes;
mod programs;
mod report;
mod run;
mod shape;
mod site;
mod startup;
mod state;
mod stop;
mod supervisor;
mod sweep;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use control::Request;
use launch::Supervisor;
use site::Site;
use state::{RootLock, StateDir};

pub use api_server::ApiServer;
pub use error::{ClusterError, LogTail};
pub use image::Image;
pub(crate) use programs::{provision, provision_for_test};
pub use shape::Shape;
pub use shape::skip_unless_ci;
pub use supervisor::supervise;

/// The time limit of a request, as for kubectl.
const REQUEST_LIMIT: Duration = Duration::from_secs(300);

/// A running cluster. If this process started it, it stops when this value is dropped.
#[derive(Debug)]
pub struct TestCluster {
    site: Site,
    kubeconfig: PathBuf,
    api: ApiServer,
    /// The supervisor, if this process owns the cluster.
    supervisor: Option<Supervisor>,
}

impl TestCluster {
    /// Starts a cluster and waits until it is usable: the API server is ready, the namespace `default` has its service
    /// account, and, for the node shape, the node is Ready, Services are reachable and DNS answers. Builds missing
    /// programs first, which takes minutes once per machine and version. Reports slow steps on stderr.
    ///
    /// # Errors
    ///
    /// The shape cannot run here, the programs cannot be built, or a component does not start. Then the message
    /// contains the end of its log.
    pub fn start(shape: Shape) -> Result<Self, ClusterError> {
        let (site, supervisor) = launch::launch(shape, None, true)?;
        Ok(Self::new(site, Some(supervisor)))
    }

    /// Starts a cluster without an owner: it runs until [`TestCluster::down`].
    ///
    /// # Errors
    ///
    /// Those of [`TestCluster::start`], and if a cluster of this name is running.
    pub fn up(name: &str, shape: Shape) -> Result<Self, ClusterError> {
        let (site, _unowned) = launch::launch(shape, Some(name), false)?;
        Ok(Self::new(site, None))
    }

    /// Returns a cluster that another process started. It continues when this value is dropped.
    ///
    /// # Errors
    ///
    /// No cluster of this name is running.
    pub fn attach(name: &str) -> Result<Self, ClusterError> {
        let state = StateDir::of(name)?;
        let root = RootLock::acquire()?;
        if !state.is_supervised(&root)? {
            return Err(ClusterError::NotRunning {
                name: name.to_owned(),
            });
        }
        Ok(Self::new(Site::read(state)?, None))
    }

    /// Stops a cluster of any owner, and returns when everything is removed, including what a dead supervisor left.
    ///
    /// # Errors
    ///
    /// There is no cluster of this name, or something cannot be removed.
    pub fn down(name: &str) -> Result<(), ClusterError> {
        let state = StateDir::of(name)?;
        if !state.path().exists() {
            return Err(ClusterError::NotRunning {
                name: name.to_owned(),
            });
        }
        stop::stop(&state, false)
    }

    /// Returns all running clusters of this user. Removes what dead supervisors left.
    ///
    /// # Errors
    ///
    /// Something cannot be removed, or a state directory cannot be read.
    pub fn list() -> Result<Vec<Self>, ClusterError> {
        let root = RootLock::acquire()?;
        sweep::sweep_stale(&root)?;
        let mut clusters = Vec::new();
        for state in StateDir::list()? {
            match Site::read(state) {
                Ok(site) => clusters.push(Self::new(site, None)),
                // The cluster is stopping.
                Err(ClusterError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(clusters)
    }

    /// Returns the name, unique on this machine for this user.
    #[must_use]
    pub fn name(&self) -> &str {
        self.site.state.name()
    }

    /// Returns the shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.site.shape
    }

    /// Returns the administrator's kubeconfig. For the node shape, it works only inside the cluster's network: see
    /// [`TestCluster::enter`] and [`TestCluster::command`].
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the address on which a server of a test, inside the cluster, is reachable from the API server and, in
    /// the node shape, from pods. For the control-plane shape that is loopback, which is allowed in webhook URLs, but
    /// not in an EndpointSlice.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.site.address()
    }

    /// Returns the directory with a log for each component, and with `pods/` for those of containers. After a failure
    /// it is kept in the cache directory, which the error message names.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.site.state.logs()
    }

    /// Returns the directory of the control plane's certificates and keys, named as kubeadm names them.
    #[must_use]
    pub fn pki_dir(&self) -> PathBuf {
        self.site.state.pki()
    }

    /// Returns the supervisor's process id, for tests that kill it, or `None` if this process does not own the cluster.
    #[must_use]
    pub fn supervisor_id(&self) -> Option<u32> {
        let supervisor = self.supervisor.as_ref()?;
        Some(supervisor.process.id())
    }

    /// Moves the calling thread into the cluster's network permanently: its sockets, a current-thread runtime on it,
    /// and the threads and processes that it starts later. Other threads stay outside, including those of an existing
    /// multi-threaded runtime. Does nothing for the control-plane shape.
    ///
    /// # Errors
    ///
    /// The cluster has stopped, or this process is not root.
    pub fn enter(&self) -> Result<(), ClusterError> {
        match self.site.shape {
            Shape::ControlPlane => Ok(()),
            Shape::Node => network::enter(&network::path(&self.site.state)),
        }
    }

    /// Returns a command that runs in the cluster's network, with `KUBECONFIG` set and the cluster's programs first on
    /// `PATH`. Its descendants end with the cluster.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.site.command(program)
    }

    /// Runs kubectl, for at most five minutes, and returns its stdout.
    ///
    /// # Errors
    ///
    /// kubectl failed. The message contains its stderr.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        run::output(self.kubectl_command().args(arguments))
    }

    /// Returns the API server, as the administrator.
    #[must_use]
    pub fn api(&self) -> &ApiServer {
        &self.api
    }

    /// Imports the image of an archive, as `docker save` or buildah write it, for the pods of a node.
    ///
    /// # Errors
    ///
    /// The file is not such an archive, its image has another name, or the cluster has no containers.
    pub fn import_archive(&self, name: &str, archive: &Path) -> Result<(), ClusterError> {
        match self.site.shape {
            Shape::Node => import::import_archive(&self.site, name, archive),
            Shape::ControlPlane => Err(self.no_containers(name)),
        }
    }

    /// Imports an image for the pods of a node.
    ///
    /// # Errors
    ///
    /// A file of it cannot be read, or the cluster has no containers.
    pub fn import_image(&self, image: &Image) -> Result<(), ClusterError> {
        match self.site.shape {
            Shape::Node => import::import(&self.site, image),
            Shape::ControlPlane => Err(self.no_containers(&image.name)),
        }
    }

    fn no_containers(&self, image: &str) -> ClusterError {
        ClusterError::Request {
            name: self.name().to_owned(),
            request: format!("import the image {image}"),
            reason: "the control-plane shape has no containers; use the node shape".to_owned(),
        }
    }

    /// Pauses a component, such as `kube-apiserver`, as an overloaded machine might. It keeps its sockets, and does not
    /// answer.
    ///
    /// # Errors
    ///
    /// There is no such component, or it has exited.
    pub fn pause(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Pause(component.to_owned()))
    }

    /// Resumes a paused component.
    ///
    /// # Errors
    ///
    /// There is no such component, or it has exited.
    pub fn resume(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Resume(component.to_owned()))
    }

    /// Kills a component and starts it again, like after a crash. Does not wait until it is usable.
    ///
    /// # Errors
    ///
    /// There is no such component, or it cannot be started.
    pub fn restart(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Restart(component.to_owned()))
    }

    /// Builds and installs the programs that clusters of this shape need.
    ///
    /// # Errors
    ///
    /// Something cannot be built or installed.
    pub fn provision(shape: Shape) -> Result<(), ClusterError> {
        programs::Programs::provision(shape).map(|_programs| ())
    }

    fn new(site: Site, supervisor: Option<Supervisor>) -> Self {
        let network = match site.shape {
            Shape::ControlPlane => None,
            Shape::Node => Some(network::path(&site.state)),
        };
        let kubeconfig = site.admin_kubeconfig();
        Self {
            api: ApiServer::new(
                site.state.name(),
                kubeconfig.clone(),
                network,
                REQUEST_LIMIT,
            ),
            kubeconfig,
            site,
            supervisor,
        }
    }

    fn kubectl_command(&self) -> Command {
        let mut command = self.site.command("timeout");
        command.args(["300", "kubectl"]);
        command
    }
}

impl Drop for TestCluster {
    /// Waits until an owned cluster is removed, for about a minute at most.
    fn drop(&mut self) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        let keep_logs = std::thread::panicking();
        if let Err(error) = stop::stop(&self.site.state, keep_logs) {
            report::progress(&error.to_string());
        }
        // The supervisor has exited or hangs. Closing the pipe is then the only option.
        supervisor.pipe = None;
        supervisor.process.try_wait().ok();
        if keep_logs {
            let directory = sweep::kept_logs(&self.site.state);
            report::progress(&format!("the logs are kept in {}", directory.display()));
        }
    }
}
