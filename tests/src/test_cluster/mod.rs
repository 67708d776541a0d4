//! The cluster: a real cluster on this machine, for tests, benchmarks and work by hand.
//!
//! ```no_run
//! use pushscale_tests::test_cluster::{TestCluster, ClusterError, Shape};
//!
//! let cluster = TestCluster::start(Shape::ControlPlane)?;
//! cluster.kubectl(&["create", "namespace", "mine"])?;
//! # Ok::<(), ClusterError>(())
//! ```
//!
//! Several clusters run side by side and do not meet. When the last reference to an owned one goes, or
//! its process dies in whatever manner, a supervisor removes all of it. `docs/TEST-CLUSTER.md` has the
//! commands, and the traps that were met.

mod certificates;
mod cgroups;
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

use control::Request;
use launch::Supervisor;
use site::Site;
use state::{RootLock, StateDir};

pub use error::{ClusterError, LogTail};
pub use image::Image;
pub(crate) use programs::provision;
pub use shape::Shape;
pub(crate) use shape::excused;
pub use supervisor::supervise;

/// A running cluster. If this process started it, it ends with this value.
#[derive(Debug)]
pub struct TestCluster {
    site: Site,
    kubeconfig: PathBuf,
    /// Of an owned cluster.
    supervisor: Option<Supervisor>,
}

impl TestCluster {
    /// Starts a cluster and waits until it is usable: the API server is ready, the namespace `default`
    /// has its service account, and, for the node shape, the node is Ready, services are reachable
    /// and DNS answers. Builds the programs first if need be, which takes minutes once per machine
    /// and version. Says on stderr what takes long.
    ///
    /// # Errors
    ///
    /// The shape cannot run here, the programs cannot be built, or a component does not start; then
    /// the message has the end of its log.
    pub fn start(shape: Shape) -> Result<Self, ClusterError> {
        let (site, supervisor) = launch::launch(shape, None, true)?;
        Ok(Self::new(site, Some(supervisor)))
    }

    /// Starts a cluster without an owner: it runs until [`TestCluster::down`].
    ///
    /// # Errors
    ///
    /// Those of [`TestCluster::start`], and: a cluster of this name runs already.
    pub fn up(name: &str, shape: Shape) -> Result<Self, ClusterError> {
        let (site, _unowned) = launch::launch(shape, Some(name), false)?;
        Ok(Self::new(site, None))
    }

    /// A cluster that somebody else started. It goes on when this value is dropped.
    ///
    /// # Errors
    ///
    /// No cluster of this name is running.
    pub fn attach(name: &str) -> Result<Self, ClusterError> {
        let state = StateDir::of(name)?;
        let root = RootLock::take()?;
        if !state.is_supervised(&root)? {
            return Err(ClusterError::NotRunning {
                name: name.to_owned(),
            });
        }
        Ok(Self::new(Site::read(state)?, None))
    }

    /// Stops a cluster of any owner, and returns when nothing of it is left. Removes what a dead
    /// supervisor left, too.
    ///
    /// # Errors
    ///
    /// There is none of this name, or something of it resists.
    pub fn down(name: &str) -> Result<(), ClusterError> {
        let state = StateDir::of(name)?;
        if !state.path().exists() {
            return Err(ClusterError::NotRunning {
                name: name.to_owned(),
            });
        }
        stop::stop(&state, false)
    }

    /// All running clusters of this user. Removes what dead supervisors left.
    ///
    /// # Errors
    ///
    /// Something resists its removal, or a state folder cannot be read.
    pub fn list() -> Result<Vec<Self>, ClusterError> {
        let root = RootLock::take()?;
        sweep::sweep_stale(&root)?;
        let mut clusters = Vec::new();
        for state in StateDir::list()? {
            match Site::read(state) {
                Ok(site) => clusters.push(Self::new(site, None)),
                // It ends at this moment.
                Err(ClusterError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(clusters)
    }

    /// The cluster's name, unique on this machine for this user.
    #[must_use]
    pub fn name(&self) -> &str {
        self.site.state.name()
    }

    /// The cluster's shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.site.shape
    }

    /// The administrator's kubeconfig. For the node shape, it is of use inside the cluster's network
    /// only: see [`TestCluster::enter`] and [`TestCluster::command`].
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where a server that a test runs inside the cluster can listen so that the API server and, in
    /// the node shape, pods reach it. For the control-plane shape that is loopback, which webhooks
    /// may name by URL, but which no EndpointSlice may have.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.site.address()
    }

    /// The folder with a log for each component, and with `pods/` for those of containers. After
    /// a failure it is kept in the cache folder, as the message says.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.site.state.logs()
    }

    /// The supervisor's process id, for tests that kill it. `None` if the cluster is not this
    /// process's own.
    #[must_use]
    pub fn supervisor_id(&self) -> Option<u32> {
        let supervisor = self.supervisor.as_ref()?;
        Some(supervisor.process.id())
    }

    /// Moves the calling thread into the cluster's network, for good: its sockets, a current-thread
    /// runtime on it, and the threads and processes that it starts later. Other threads stay where
    /// they are, those of a multi-threaded runtime that exists already among them. Does nothing
    /// for the control-plane shape.
    ///
    /// # Errors
    ///
    /// The cluster is gone, or this process is not root.
    pub fn enter(&self) -> Result<(), ClusterError> {
        match self.site.shape {
            Shape::ControlPlane => Ok(()),
            Shape::Node => network::enter(&network::path(&self.site.state)),
        }
    }

    /// A command that runs in the cluster's network, with `KUBECONFIG` set and the cluster's programs
    /// first on `PATH`. What it starts and leaves behind ends with the cluster.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        self.site.command(program)
    }

    /// Runs kubectl, for at most five minutes, and returns what it wrote on stdout.
    ///
    /// # Errors
    ///
    /// kubectl failed; the message has what it wrote on stderr.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        run::output(self.kubectl_command().args(arguments))
    }

    /// Applies the objects of a YAML text, on the server side.
    ///
    /// # Errors
    ///
    /// The API server refused one of them.
    pub fn apply(&self, yaml: &str) -> Result<(), ClusterError> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        run::output_with(self.kubectl_command().args(arguments), yaml).map(|_names| ())
    }

    /// Asks the API server whether it would take the objects of a YAML text, and changes nothing.
    ///
    /// # Errors
    ///
    /// It would not.
    pub fn dry_run(&self, yaml: &str) -> Result<(), ClusterError> {
        let arguments = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ];
        run::output_with(self.kubectl_command().args(arguments), yaml).map(|_names| ())
    }

    /// Makes the image of an archive, as `docker save` or buildah write it, available to the pods of a node cluster.
    ///
    /// # Errors
    ///
    /// It is no such archive, it has another name, or the cluster has no containers.
    pub fn import_archive(&self, name: &str, archive: &Path) -> Result<(), ClusterError> {
        match self.site.shape {
            Shape::Node => import::import_archive(&self.site, name, archive),
            Shape::ControlPlane => Err(self.no_containers(name)),
        }
    }

    /// Makes an image available to the pods of a node cluster.
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

    /// Stops a component, such as `kube-apiserver`, where it stands, as an overloaded machine
    /// might. It keeps its sockets, and does not answer.
    ///
    /// # Errors
    ///
    /// There is no such component, or it has ended.
    pub fn pause(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Pause(component.to_owned()))
    }

    /// Lets a paused component go on.
    ///
    /// # Errors
    ///
    /// There is no such component, or it has ended.
    pub fn resume(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Resume(component.to_owned()))
    }

    /// Kills a component and starts it anew, as after a crash. Does not wait until it is usable.
    ///
    /// # Errors
    ///
    /// There is no such component, or it cannot be started.
    pub fn restart(&self, component: &str) -> Result<(), ClusterError> {
        control::ask(&self.site.state, &Request::Restart(component.to_owned()))
    }

    /// Builds and installs what clusters of this shape need, and nothing else.
    ///
    /// # Errors
    ///
    /// Something cannot be built or installed.
    pub fn provision(shape: Shape) -> Result<(), ClusterError> {
        programs::Programs::provision(shape).map(|_programs| ())
    }

    fn new(site: Site, supervisor: Option<Supervisor>) -> Self {
        Self {
            kubeconfig: site.admin_kubeconfig(),
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
    /// Returns when nothing of an owned cluster is left, within about a minute.
    fn drop(&mut self) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        let keep_logs = std::thread::panicking();
        if let Err(error) = stop::stop(&self.site.state, keep_logs) {
            report::say(&error.to_string());
        }
        // It has ended, or never will: then the closing pipe is all that can be done.
        supervisor.pipe = None;
        supervisor.process.try_wait().ok();
        if keep_logs {
            let folder = sweep::kept_logs(&self.site.state);
            report::say(&format!("the logs are kept in {}", folder.display()));
        }
    }
}
