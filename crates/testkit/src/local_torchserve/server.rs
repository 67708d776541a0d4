//! One TorchServe process.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{LocalTorchServe, LocalTorchServeError, ServerOptions};
use crate::Addresses;
use crate::reserved_port::ReservedPort;

/// The limit for a stop. `start.py` allows 15 s for Java and 5 s for its workers.
const STOP: Duration = Duration::from_secs(25);
/// Additional time for the start of Python, on top of the limit in `start.py`.
const READY_MARGIN: Duration = Duration::from_secs(15);

/// A running TorchServe. It stops when this value is dropped or this process ends, because `start.py` watches its
/// standard input. Unlike [`RunningServer::stop`], dropping does not wait for that.
#[derive(Debug)]
pub struct RunningServer {
    addresses: Addresses,
    child: Child,
    ready: Option<Ready>,
    ready_timeout: Duration,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: Option<ChildStderr>,
    /// Closing this pipe stops the server.
    _stdin: Option<ChildStdin>,
    /// While these are held, no other process on this machine gets one of the six ports.
    _ports: Vec<ReservedPort>,
}

impl RunningServer {
    pub(super) fn launch(
        torchserve: &LocalTorchServe,
        options: &ServerOptions,
    ) -> Result<Self, LocalTorchServeError> {
        let mut ports = Vec::with_capacity(PORT_OPTIONS.len());
        let mut command = Command::new(torchserve.python());
        command.arg(torchserve.script()).arg("--stop-on-eof");
        command.arg("--python").arg(torchserve.python());
        command.arg("--java").arg(torchserve.java());
        command.args(options.arguments());
        if let Some(programs) = &options.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let directories = std::iter::once(programs.clone()).chain(std::env::split_paths(&path));
            // No directory of PATH contains the separator, apart from one given here by a test.
            command.env("PATH", std::env::join_paths(directories).unwrap_or(path));
        }
        for option in PORT_OPTIONS {
            let port = ReservedPort::take(SocketAddr::new(options.bind, 0));
            let port = port.map_err(|source| LocalTorchServeError::Port {
                bind: options.bind,
                source,
            })?;
            command.arg(format!("--{option}={}", port.address().port()));
            ports.push(port);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|source| LocalTorchServeError::File {
                what: "run",
                path: torchserve.python(),
                source,
            })?;
        Ok(Self {
            addresses: Addresses {
                inference: ports[0].address(),
                management: ports[1].address(),
                metrics: ports[2].address(),
            },
            ready: None,
            ready_timeout: options.ready_timeout,
            stdout: child.stdout.take().map(|out| BufReader::new(out).lines()),
            stderr: child.stderr.take(),
            _stdin: child.stdin.take(),
            child,
            _ports: ports,
        })
    }

    /// Returns the addresses of the ports, which may not be open yet.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns the process id of Java, once the server is READY.
    pub fn pid(&self) -> Option<u32> {
        self.ready.as_ref().map(|ready| ready.java)
    }

    /// Returns the file with the keys of a server with token authorization, once the server is READY.
    pub fn key_file(&self) -> Option<PathBuf> {
        self.ready
            .as_ref()
            .map(|ready| ready.work.join("key_file.json"))
    }

    /// Waits until all workers of all models are READY. Returns at once if they already were.
    ///
    /// # Errors
    /// TorchServe exited or took too long. The error contains the end of its log.
    pub async fn ready(&mut self) -> Result<(), LocalTorchServeError> {
        if self.ready.is_some() {
            return Ok(());
        }
        let limit = self.ready_timeout + READY_MARGIN;
        let reason = match timeout(limit, self.read_ready()).await {
            Ok(Some(ready)) => {
                self.ready = Some(ready);
                return Ok(());
            }
            Ok(None) => self.log_tail().await,
            Err(_) => format!("start.py printed nothing for {} s", limit.as_secs()),
        };
        Err(LocalTorchServeError::NotReady { reason })
    }

    /// Returns whether the server has exited, for any reason.
    pub fn has_ended(&mut self) -> bool {
        // An error means that the process no longer exists.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the server with SIGTERM, then SIGKILL. TorchServe closes its ports at once, resets the connections of
    /// queued requests, and exits within one to six seconds. No process or file remains when this returns.
    ///
    /// # Errors
    /// The process could not be killed.
    pub async fn stop(mut self) -> Result<(), LocalTorchServeError> {
        self.end().await?;
        if let Some(ready) = &self.ready {
            // start.py has removed the directory, unless it was killed.
            fs::remove_dir_all(&ready.work).ok();
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), LocalTorchServeError> {
        let Some(id) = self.child.id() else {
            return Ok(());
        };
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // This fails only if the process has just exited. The wait below then returns at once.
            kill_process(pid, Signal::TERM).ok();
        }
        if timeout(STOP, self.child.wait()).await.is_ok() {
            return Ok(());
        }
        // Java exits with its parent.
        let killed = timeout(STOP, self.child.kill()).await;
        let reason = match killed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("still there {} s after SIGKILL", STOP.as_secs()),
        };
        Err(LocalTorchServeError::NotStopped { pid: id, reason })
    }

    /// Reads the READY line; `None` if the output ends without it.
    async fn read_ready(&mut self) -> Option<Ready> {
        let lines = self.stdout.as_mut()?;
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(ready) = Ready::parse(&line) {
                return Some(ready);
            }
        }
        None
    }

    async fn log_tail(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(stderr) = self.stderr.take() {
            let mut some = stderr.take(16 * 1024);
            // On an error or a timeout, the part that was read is returned.
            let read = some.read_to_end(&mut text);
            timeout(READY_MARGIN, read).await.ok();
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// The READY line of `start.py`.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    java: u32,
    /// The directory with config, models and logs.
    work: PathBuf,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let (before, work) = line.strip_prefix("READY pid=")?.split_once(" work=")?;
        let (java, _after) = before.split_once(' ')?;
        Some(Self {
            java: java.parse().ok()?,
            work: PathBuf::from(work),
        })
    }
}

/// The options of `start.py` for the ports. The first three are in the order of [`Addresses`].
const PORT_OPTIONS: [&str; 6] = [
    "inference-port",
    "management-port",
    "metrics-port",
    "grpc-inference-port",
    "grpc-management-port",
    "worker-port",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_has_the_process_of_java_and_the_directory() {
        assert_eq!(
            Ready::parse("READY pid=7239 after=3.2s work=/tmp/ts.8n7l 14j"),
            Some(Ready {
                java: 7239,
                work: PathBuf::from("/tmp/ts.8n7l 14j"),
            })
        );
        for line in [
            "",
            "READY",
            "READY pid=x after=1s work=/tmp",
            "READY pid=1 after=1s",
        ] {
            assert_eq!(Ready::parse(line), None, "{line}");
        }
    }
}
