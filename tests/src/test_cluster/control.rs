//! Requests to the supervisor of a running cluster, over a socket in the cluster's folder.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ClusterError;
use super::state::StateDir;

/// What a supervisor can be asked for. The strings are names of components.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Stops a component's process where it stands.
    Pause(String),
    /// Lets it go on.
    Resume(String),
    /// Kills it and starts it anew.
    Restart(String),
    /// Ends the cluster.
    Stop { keep_logs: bool },
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    pub(crate) request: Request,
    stream: UnixStream,
}

type Answer = Result<(), String>;

/// Asks, and waits for the answer.
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
        // No socket, nobody behind it, or nobody any more.
        Err(_) => Err(ClusterError::NotRunning {
            name: state.name().to_owned(),
        }),
    }
}

/// Takes requests from now on, in a thread of its own, and hands them to the function until that
/// returns false.
pub(crate) fn listen(
    state: &StateDir,
    hand_over: impl Fn(Asked) -> bool + Send + 'static,
) -> Result<(), ClusterError> {
    let path = state.control_socket();
    let listener = UnixListener::bind(&path).map_err(ClusterError::io("listen on", &path))?;
    std::thread::spawn(move || {
        // Whoever sends something else, or nothing, gets no answer.
        for stream in listener.incoming().filter_map(Result::ok) {
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok();
            if let Ok(request) = read_line(&stream)
                && !hand_over(Asked { request, stream })
            {
                break;
            }
        }
    });
    Ok(())
}

impl Asked {
    /// Answers. The asker may be gone, which is no failure of ours.
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
