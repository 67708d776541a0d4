//! Starts and stops clusters on this machine. `make cluster-up` and the related targets call this program.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line prints"
)]

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pushscale_tests::test_cluster::{ClusterError, Shape, TestCluster, supervise};

/// A real cluster on this machine: one node, or a control plane without nodes.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start a cluster that runs until "down"
    Up {
        /// The node shape needs root
        #[arg(long, value_enum, default_value = "node")]
        shape: Shape,
        /// Name of the cluster; several can run at the same time
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// Stop a cluster and remove all of it
    Down {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// Stop all clusters of this user, including those of running tests
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show running clusters and clean up after crashed ones
    Status,
    /// Only build and install the programs
    Build {
        /// Shape of the clusters that will need the programs
        #[arg(long, value_enum, default_value = "node")]
        shape: Shape,
    },
    /// Run a command in the network of a cluster, with its kubectl and kubeconfig
    Exec {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Import an image for the pods of a node: an archive as "docker save" writes it
    Import {
        /// Name of the cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// The image's name with its tag
        image: String,
        /// The archive
        archive: PathBuf,
    },
    /// Run a cluster whose directory is prepared
    #[command(hide = true)]
    Supervise {
        /// Name of the cluster
        name: String,
        /// Stop the cluster when stdin closes
        #[arg(long)]
        owned: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pushscale-test-cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<(), ClusterError> {
    match action {
        Action::Up { shape, name } => {
            describe(&TestCluster::up(&name, shape)?);
            Ok(())
        }
        Action::Down { all: true, .. } => {
            let clusters = TestCluster::list()?;
            clusters
                .iter()
                .try_for_each(|cluster| TestCluster::down(cluster.name()))
        }
        Action::Down { name, .. } => TestCluster::down(&name),
        Action::Status => {
            let clusters = TestCluster::list()?;
            if clusters.is_empty() {
                println!("no cluster is running");
            }
            clusters.iter().for_each(describe);
            Ok(())
        }
        Action::Build { shape } => TestCluster::provision(shape),
        Action::Exec { name, command } => exec(&name, &command),
        Action::Import {
            name,
            image,
            archive,
        } => TestCluster::attach(&name)?.import_archive(&image, &archive),
        Action::Supervise { name, owned } => supervise(&name, owned),
    }
}

fn describe(cluster: &TestCluster) {
    let name = cluster.name();
    println!("{name}: {}", cluster.shape());
    println!("  KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  pushscale-test-cluster exec --name {name} -- kubectl get nodes");
}

/// Replaces this process, and returns only if that fails.
fn exec(name: &str, command: &[String]) -> Result<(), ClusterError> {
    let cluster = TestCluster::attach(name)?;
    let Some((program, arguments)) = command.split_first() else {
        return Ok(());
    };
    let source = cluster.command(program).args(arguments).exec();
    Err(ClusterError::Io {
        action: "run",
        path: program.into(),
        source,
    })
}
