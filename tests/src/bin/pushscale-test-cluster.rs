//! A cluster on this machine, for work by hand: `make cluster-up` and its like call this.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line speaks to people"
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
    /// Start a cluster that lives until "down"
    Up {
        /// Node needs root
        #[arg(long, value_enum, default_value = "node")]
        shape: Shape,
        /// Several can run side by side
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// Stop a cluster and remove all of it
    Down {
        /// Which
        #[arg(long, default_value = "dev")]
        name: String,
        /// Every one of this user, those of running tests among them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Show the clusters that run; remove what crashed ones left
    Status,
    /// Build and install the programs, and do no more
    Build {
        /// For which clusters
        #[arg(long, value_enum, default_value = "node")]
        shape: Shape,
    },
    /// Run a command in a cluster's network, with its kubectl and kubeconfig
    Exec {
        /// Which
        #[arg(long, default_value = "dev")]
        name: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Give an image to a node's pods: an archive as "docker save" writes it
    Import {
        /// To which cluster
        #[arg(long, default_value = "dev")]
        name: String,
        /// The image's name with its tag
        image: String,
        /// The archive
        archive: PathBuf,
    },
    /// Run a cluster whose folder is prepared
    #[command(hide = true)]
    Supervise {
        /// Which
        name: String,
        /// End with stdin
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

/// Does not return unless the command cannot be run.
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
