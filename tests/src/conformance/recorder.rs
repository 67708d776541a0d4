//! Runs the Go program with the controller.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::error::ConformanceError;
use crate::test_cluster;

/// The program, built and ready.
#[derive(Clone, Debug)]
pub struct Recorder {
    program: PathBuf,
}

impl Recorder {
    /// Builds the program if it is missing, which takes a few minutes on a new machine, and reports that on stderr.
    ///
    /// # Errors
    /// Go is missing, or the build fails.
    pub fn provision() -> Result<Self, ConformanceError> {
        Ok(Self {
            program: test_cluster::provision("conformance")?.join("hpa"),
        })
    }

    /// Returns `None`, with a message on stderr, if the program is missing and Go is not installed. Under `CI=true`
    /// that is an error.
    ///
    /// # Errors
    /// Those of [`Recorder::provision`].
    pub fn for_test() -> Result<Option<Self>, ConformanceError> {
        Self::provision().map(Some).or_else(|error| {
            let no_go = Command::new("go").arg("version").output().is_err();
            if no_go
                && test_cluster::skip_unless_ci(
                    &"there is no Go to build the HPA's controller with",
                )
            {
                return Ok(None);
            }
            Err(error)
        })
    }

    /// Records one random cluster of a seed, as a line.
    ///
    /// # Errors
    /// The program failed.
    pub fn random_cluster(&self, seed: u64, number: u32) -> Result<String, ConformanceError> {
        let mut recording = self.start(&[
            format!("-seed={seed}"),
            format!("-cases={}", u64::from(number) + 1),
            format!("-shards={}", u64::from(number) + 1),
            format!("-shard={number}"),
        ])?;
        recording.read_all()
    }

    /// Records cases again, one per line, ignoring the recorded decisions.
    ///
    /// # Errors
    /// A line is not a case, or the controller does not sync at the times of the case.
    pub fn record(&self, scripts: String) -> Result<String, ConformanceError> {
        let mut recording = self.start(&["-scripts".to_owned()])?;
        let stdin = recording.child.stdin.take();
        let writer = thread::spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(scripts.as_bytes()),
            None => Ok(()),
        });
        let text = recording.read_all()?;
        match writer.join() {
            Ok(written) => written.map_err(ConformanceError::io("write to"))?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(text)
    }

    /// Starts one of several processes that share the random clusters of a seed.
    pub(super) fn share(
        &self,
        seed: u64,
        cases: u32,
        shard: usize,
        shards: usize,
    ) -> Result<Recording, ConformanceError> {
        self.start(&[
            format!("-seed={seed}"),
            format!("-cases={cases}"),
            format!("-shards={shards}"),
            format!("-shard={shard}"),
        ])
    }

    fn start(&self, arguments: &[String]) -> Result<Recording, ConformanceError> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            // The goroutines of a cluster wait for each other, so a second thread only costs.
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ConformanceError::io("start"))?;
        let stderr = child.stderr.take();
        // Read concurrently, since a stack trace is longer than the buffer of a pipe.
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut stderr) = stderr {
                stderr.read_to_string(&mut text).ok();
            }
            text
        });
        Ok(Recording {
            lines: child.stdout.take().map(BufReader::new),
            child,
            stderr: Some(stderr),
        })
    }
}

/// A running program.
pub(super) struct Recording {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

impl Recording {
    /// Reads the next case. Returns `None` after the last one, if the program succeeded.
    pub(super) fn line(&mut self) -> Result<Option<String>, ConformanceError> {
        let mut line = String::new();
        if let Some(lines) = &mut self.lines {
            lines
                .read_line(&mut line)
                .map_err(ConformanceError::io("read from"))?;
        }
        if line.is_empty() {
            self.end()?;
            return Ok(None);
        }
        Ok(Some(line))
    }

    fn read_all(&mut self) -> Result<String, ConformanceError> {
        let mut text = String::new();
        while let Some(line) = self.line()? {
            text.push_str(&line);
        }
        Ok(text)
    }

    fn end(&mut self) -> Result<(), ConformanceError> {
        drop(self.child.stdin.take());
        let status = self
            .child
            .wait()
            .map_err(ConformanceError::io("wait for"))?;
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok());
        if status.success() {
            return Ok(());
        }
        Err(ConformanceError::Recorder {
            stderr: stderr.unwrap_or_default(),
        })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Also ends a program whose output was not read to the end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
