//! Compares the decisions of the controller and of Pushscale in random clusters.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::case::parse_case;
use super::difference::Difference;
use super::error::ConformanceError;
use super::recorder::{Recorder, Recording};
use super::replay::replay;

/// The interval of progress reports.
const PROGRESS: Duration = Duration::from_secs(2);

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The number of random clusters.
    pub cases: usize,
    /// The number of syncs in them.
    pub passes: usize,
    /// The first difference in each cluster that has one.
    pub differences: Vec<Difference>,
}

/// Compares the first `cases` random clusters of a seed, in as many processes as there are cores. Calls `progress`
/// every two seconds.
///
/// # Errors
/// The recorder failed.
pub fn compare(
    recorder: &Recorder,
    seed: u64,
    cases: u32,
    mut progress: impl FnMut(&Comparison),
) -> Result<Comparison, ConformanceError> {
    let shards = thread::available_parallelism().map_or(1, usize::from);
    let (sender, results) = mpsc::channel();
    for shard in 0..shards {
        let recording = recorder.share(seed, cases, shard, shards)?;
        let sender = sender.clone();
        thread::spawn(move || follow(recording, &sender));
    }
    drop(sender);
    let mut comparison = Comparison::default();
    let mut reported_at = Instant::now();
    loop {
        match results.recv_timeout(PROGRESS) {
            Ok(result) => {
                let (passes, difference) = result?;
                comparison.cases += 1;
                comparison.passes += passes;
                comparison.differences.extend(difference);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(comparison),
        }
        if reported_at.elapsed() >= PROGRESS {
            reported_at = Instant::now();
            progress(&comparison);
        }
    }
}

/// Returns the number of syncs of a case, and its first difference.
type Compared = Result<(usize, Option<Difference>), ConformanceError>;

fn follow(mut recording: Recording, results: &Sender<Compared>) {
    loop {
        let result = match recording.line() {
            Ok(None) => return,
            Ok(Some(line)) => again(&line),
            Err(error) => Err(error),
        };
        let failed = result.is_err();
        // The receiver is dropped once another process has failed.
        if results.send(result).is_err() || failed {
            return;
        }
    }
}

fn again(line: &str) -> Compared {
    let case = parse_case(0, line)?;
    Ok((case.steps.len(), replay(&case)?))
}
