//! The controller's decisions in random worlds against ours.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use pushscale_cli::replay::{Difference, parse_case, replay};

use super::error::ConformanceError;
use super::recorder::{Recorder, Recording};

/// How often somebody who waits hears of it.
const PROGRESS: Duration = Duration::from_secs(2);

/// What came out.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Random worlds.
    pub cases: usize,
    /// Their passes.
    pub passes: usize,
    /// Where ours decided otherwise: the first pass of each such world.
    pub differences: Vec<Difference>,
}

/// Lets both decide in the first `cases` random worlds of a seed, in as many processes as there are cores.
/// `progress` hears of it every two seconds.
///
/// # Errors
/// The recorder fails.
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
    let mut told = Instant::now();
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
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            progress(&comparison);
        }
    }
}

/// The passes of a case, and its difference.
type Compared = Result<(usize, Option<Difference>), ConformanceError>;

fn follow(mut recording: Recording, results: &Sender<Compared>) {
    loop {
        let result = match recording.line() {
            Ok(None) => return,
            Ok(Some(line)) => again(&line),
            Err(error) => Err(error),
        };
        let failed = result.is_err();
        // Nobody listens any more once another process has failed.
        if results.send(result).is_err() || failed {
            return;
        }
    }
}

fn again(line: &str) -> Compared {
    let case = parse_case(0, line)?;
    Ok((case.steps.len(), replay(&case)?))
}
