//! One TorchServe process, from its start to its end.

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

/// `start.py` gives java 15 seconds and its workers 5.
const STOP: Duration = Duration::from_secs(25);
/// Beyond the time that `start.py` itself allows, for Python's own start.
const READY_MARGIN: Duration = Duration::from_secs(15);

/// A TorchServe of our own. Dropping it stops it too, as the end of this process does, only
/// without waiting: `start.py` watches its standard input.
#[derive(Debug)]
pub struct RunningServer {
    addresses: Addresses,
    child: Child,
    ready: Option<Ready>,
    ready_timeout: Duration,
    stdout: Option<Lines<BufReader<ChildStdout>>>,
    stderr: Option<ChildStderr>,
    /// Its end tells `start.py` that nobody wants the server any more.
    _stdin: Option<ChildStdin>,
    /// While they are held, nobody else on this machine is given one of the six.
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

    /// Where it listens, or will.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The process id of java, once READY.
    pub fn pid(&self) -> Option<u32> {
        self.ready.as_ref().map(|ready| ready.java)
    }

    /// Waits until every worker of every model is READY; at once when they already were.
    ///
    /// # Errors
    /// When TorchServe ends by itself or takes too long, with the end of its log.
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
            Ok(None) => self.last_words().await,
            Err(_) => format!("start.py said nothing for {} s", limit.as_secs()),
        };
        Err(LocalTorchServeError::NotReady { reason })
    }

    /// Whether it has ended, by itself or by somebody else's hand.
    pub fn has_ended(&mut self) -> bool {
        // An error means that it cannot be asked any more, which is an end as well.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then SIGKILL: TorchServe closes its ports at once, resets whoever waits in its
    /// queue and ends within one to six seconds. Nothing is left when this returns.
    ///
    /// # Errors
    /// When it could not even be killed.
    pub async fn stop(mut self) -> Result<(), LocalTorchServeError> {
        self.end().await?;
        if let Some(ready) = &self.ready {
            // Gone already, unless start.py was killed before it could do so.
            fs::remove_dir_all(&ready.work).ok();
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), LocalTorchServeError> {
        let Some(id) = self.child.id() else {
            return Ok(());
        };
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            // Fails only if it has just ended, which the wait will see.
            kill_process(pid, Signal::TERM).ok();
        }
        if timeout(STOP, self.child.wait()).await.is_ok() {
            return Ok(());
        }
        // java dies with its parent.
        let killed = timeout(STOP, self.child.kill()).await;
        let reason = match killed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("still there {} s after SIGKILL", STOP.as_secs()),
        };
        Err(LocalTorchServeError::NotStopped { pid: id, reason })
    }

    /// `None` when the output ends without the line.
    async fn read_ready(&mut self) -> Option<Ready> {
        let lines = self.stdout.as_mut()?;
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(ready) = Ready::parse(&line) {
                return Some(ready);
            }
        }
        None
    }

    async fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(stderr) = self.stderr.take() {
            let mut some = stderr.take(16 * 1024);
            // What was read before an error or the deadline is all there is to tell.
            let read = some.read_to_end(&mut text);
            timeout(READY_MARGIN, read).await.ok();
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// What `start.py` says once.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    java: u32,
    /// Its folder for config, models and logs.
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

/// The first three in the order of [`Addresses`].
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
    fn the_ready_line_tells_javas_process_and_the_folder() {
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
