//! Requests to the supervisor of a running cluster, over a socket in the cluster's directory.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ClusterError;
use super::state::StateDir;

/// A request to a supervisor. The strings are names of components.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Stops a component's process with SIGSTOP.
    Pause(String),
    /// Resumes it with SIGCONT.
    Resume(String),
    /// Kills it and starts it again.
    Restart(String),
    /// Stops the cluster.
    Stop { keep_logs: bool },
}

/// A request that waits for its answer.
pub(crate) struct PendingRequest {
    pub(crate) request: Request,
    stream: UnixStream,
}

type Answer = Result<(), String>;

/// Sends a request and waits for the answer.
pub(crate) fn ask(state: &StateDir, request: &Request) -> Result<(), ClusterError> {
    let path = state.control_socket();
    let failed = |reason: String| ClusterError::Request {
        name: state.name().to_owned(),
        request: request.to_string(),
        reason,
    };
    let converse = || -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write_line(&mut stream, request)?;
        read_line(&stream)
    };
    match converse() {
        Ok(answer) => answer.map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(failed("its supervisor does not answer".to_owned()))
        }
        // The socket is missing, or its listener has exited.
        Err(_) => Err(ClusterError::NotRunning {
            name: state.name().to_owned(),
        }),
    }
}

/// Accepts requests in a separate thread, and passes them to the function until it returns false.
pub(crate) fn listen(
    state: &StateDir,
    hand_over: impl Fn(PendingRequest) -> bool + Send + 'static,
) -> Result<(), ClusterError> {
    let path = state.control_socket();
    let listener = UnixListener::bind(&path).map_err(ClusterError::io("listen on", &path))?;
    std::thread::spawn(move || {
        // Anything else gets no answer.
        for stream in listener.incoming().filter_map(Result::ok) {
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok();
            if let Ok(request) = read_line(&stream)
                && !hand_over(PendingRequest { request, stream })
            {
                break;
            }
        }
    });
    Ok(())
}

impl PendingRequest {
    /// Sends the answer. The client may be disconnected, which is not an error.
    pub(crate) fn answer(mut self, answer: &Answer) {
        write_line(&mut self.stream, answer).ok();
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause(component) => write!(formatter, "pause {component}"),
            Self::Resume(component) => write!(formatter, "resume {component}"),
            Self::Restart(component) => write!(formatter, "restart {component}"),
            Self::Stop { .. } => formatter.write_str("stop"),
        }
    }
}

fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: for<'a> Deserialize<'a>>(stream: &UnixStream) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
