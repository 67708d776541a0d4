//! The processes of a cluster: started, watched, and stopped for a while by tests.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{ClusterError, LogTail};
use super::site::{MARK, Site};

/// A component's command line.
pub(crate) struct CommandLine {
    /// The component's name, such as `kube-apiserver`.
    pub(crate) component: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// All components of one cluster, in the order of their start.
pub(crate) struct Components {
    site: Site,
    /// The prefix of each command line, which enters the cluster's namespaces.
    enter: Vec<String>,
    running: Vec<Component>,
}

struct Component {
    name: &'static str,
    /// The complete command line, so that a restart uses the same one.
    words: Vec<String>,
    child: Child,
    /// Whether its exit was reported.
    reported: bool,
}

impl Components {
    pub(crate) fn new(site: Site) -> Self {
        Self {
            site,
            enter: Vec::new(),
            running: Vec::new(),
        }
    }

    /// Starts later components through this command.
    pub(crate) fn enter_by(&mut self, command: Vec<String>) {
        self.enter = command;
    }

    /// Starts a component and writes its output to `logs/<component>.log`. Returns its process id.
    pub(crate) fn start(&mut self, line: CommandLine) -> Result<u32, ClusterError> {
        let mut words = self.enter.clone();
        words.push(line.program.display().to_string());
        words.extend(line.arguments);
        let child = self.spawn(line.component, &words)?;
        let id = child.id();
        self.running.push(Component {
            name: line.component,
            words,
            child,
            reported: false,
        });
        Ok(id)
    }

    /// Returns an error if any component has exited.
    pub(crate) fn check(&mut self, waited_for: &str) -> Result<(), ClusterError> {
        for component in &mut self.running {
            if let Some(status) = ended(&mut component.child) {
                return Err(ClusterError::Ended {
                    component: component.name.to_owned(),
                    status,
                    waited_for: waited_for.to_owned(),
                    log: log_tail(&self.site.state.log_of(component.name)),
                });
            }
        }
        Ok(())
    }

    /// Sends a signal to a component.
    pub(crate) fn signal(&mut self, name: &str, signal: Signal) -> Result<(), String> {
        let component = self.find(name)?;
        if let Some(status) = ended(&mut component.child) {
            return Err(format!("{name} has ended ({status})"));
        }
        kill_process(Pid::from_child(&component.child), signal).map_err(|error| error.to_string())
    }

    /// Kills a component, like a crash, and starts it again.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), String> {
        let component = self.find(name)?;
        let (name, words) = (component.name, component.words.clone());
        let killed = component.child.kill();
        killed
            .and_then(|()| component.child.wait())
            .map_err(|error| format!("{name} could not be killed: {error}"))?;
        let child = self
            .spawn(name, &words)
            .map_err(|error| error.to_string())?;
        let component = self.find(name)?;
        component.child = child;
        component.reported = false;
        Ok(())
    }

    /// Forgets a component that has ended, so that it can be started in another way.
    pub(crate) fn forget(&mut self, name: &str) {
        self.running.retain(|component| component.name != name);
    }

    /// Collects exited processes, and returns a message for each that exited since the last call.
    pub(crate) fn reap(&mut self) -> Vec<String> {
        let mut news = Vec::new();
        for component in self.running.iter_mut().filter(|c| !c.reported) {
            if let Some(status) = ended(&mut component.child) {
                news.push(format!("{} ended ({status})", component.name));
                component.reported = true;
            }
        }
        news
    }

    fn find(&mut self, name: &str) -> Result<&mut Component, String> {
        let names: Vec<_> = self.running.iter().map(|c| c.name).collect();
        self.running
            .iter_mut()
            .find(|component| component.name == name)
            .ok_or_else(|| format!("no component {name} is running, only {}", names.join(", ")))
    }

    fn spawn(&self, name: &str, words: &[String]) -> Result<Child, ClusterError> {
        let path = self.site.state.log_of(name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(ClusterError::io("open", &path))?;
        let errors = log.try_clone().map_err(ClusterError::io("open", &path))?;
        Command::new(&words[0])
            .args(&words[1..])
            // The environment of a test must not affect components, for example proxies and Go's settings.
            .env_clear()
            .env("PATH", self.site.programs.search_path())
            .env("HOME", self.site.state.path())
            .env(MARK, self.site.state.path())
            .current_dir(self.site.state.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(ClusterError::io("run", &words[0]))
    }
}

/// The last 20 lines of a log.
pub(crate) fn log_tail(path: &Path) -> LogTail {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    LogTail(lines[lines.len().saturating_sub(20)..].join("\n"))
}

fn ended(child: &mut Child) -> Option<String> {
    match child.try_wait() {
        Ok(None) => None,
        Ok(Some(status)) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
