//! Creates a cluster's directory and starts its supervisor.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::ClusterError;
use super::programs::Programs;
use super::report::{Report, progress};
use super::shape::Shape;
use super::site::{MARK, Site};
use super::state::{RootLock, StateDir};
use super::{stop, sweep};

/// A supervisor that belongs to this process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) process: Child,
    /// Closed on drop, which stops the supervisor.
    pub(crate) pipe: Option<ChildStdin>,
}

/// Starts a cluster and waits until it is usable. Without a name it gets a generated one.
pub(crate) fn launch(
    shape: Shape,
    name: Option<&str>,
    owned: bool,
) -> Result<(Site, Supervisor), ClusterError> {
    shape.check()?;
    let programs = Programs::provision(shape)?;
    let program = supervisor_program()?;

    let root = RootLock::acquire()?;
    sweep::sweep_stale(&root)?;
    let state = make_directory(name)?;
    let site = Site {
        state,
        shape,
        programs,
    };
    site.write()?;
    let mut process = spawn(&program, &site.state, owned)?;
    let pipe = process.stdin.take();
    let mut supervisor = Supervisor { process, pipe };
    let mut reports = reports(&mut supervisor.process);
    // If the supervisor exits earlier, `follow` reports it.
    let first = reports.next();
    drop(root);

    match follow(&site.state, first.into_iter().chain(reports)) {
        Ok(()) => Ok((site, supervisor)),
        Err(error) => {
            supervisor.process.wait().ok();
            stop::wait_until_removed(&site.state)?;
            Err(error)
        }
    }
}

fn make_directory(name: Option<&str>) -> Result<StateDir, ClusterError> {
    if let Some(name) = name {
        let state = StateDir::of(name)?;
        if !state.create()? {
            return Err(ClusterError::NameTaken {
                name: name.to_owned(),
            });
        }
        return Ok(state);
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let state = StateDir::of(&format!("r{}-{number}", std::process::id()))?;
        if state.create()? {
            return Ok(state);
        }
    }
}

fn spawn(program: &Path, state: &StateDir, owned: bool) -> Result<Child, ClusterError> {
    state.directory("logs")?;
    let path = state.log_of("supervisor");
    let log = File::create(&path).map_err(ClusterError::io("create", &path))?;
    let mut command = Command::new(program);
    command.args(["supervise", state.name()]);
    let stdin = if owned {
        command.arg("--owned");
        Stdio::piped()
    } else {
        Stdio::null()
    };
    command
        // This process may run in another cluster, whose end must not stop the new one.
        .env_remove(MARK)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(ClusterError::io("run", program))
}

fn reports(process: &mut Child) -> impl Iterator<Item = Report> + use<> {
    let lines = process.stdout.take().map(BufReader::new);
    lines
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str(&line).ok())
}

/// Prints the supervisor's progress until the cluster is usable.
fn follow(state: &StateDir, reports: impl Iterator<Item = Report>) -> Result<(), ClusterError> {
    let mut reason = "its supervisor ended without a message".to_owned();
    for report in reports {
        match report {
            Report::Locked => {}
            Report::Progress(text) => progress(&format!("{}: {text}", state.name())),
            Report::Ready => return Ok(()),
            Report::Failed(text) => reason = text,
        }
    }
    Err(ClusterError::Start {
        name: state.name().to_owned(),
        reason,
        logs: sweep::kept_logs(state),
    })
}

/// Finds the program `pushscale-test-cluster`: this one, or the one that cargo built next to this test.
fn supervisor_program() -> Result<PathBuf, ClusterError> {
    let this = env::current_exe().map_err(ClusterError::io("find", "this program"))?;
    let name = "pushscale-test-cluster";
    if this.file_name().is_some_and(|file| file == name) {
        return Ok(this);
    }
    let directory = this.parent().unwrap_or(Path::new("."));
    // Tests are in deps/ below the directory of the programs.
    [Some(directory), directory.parent()]
        .into_iter()
        .flatten()
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| ClusterError::NoSupervisor {
            directory: directory.to_path_buf(),
        })
}
