//! Runs all simulations on all cores and prints their progress.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pushscale_simulator::cluster::{Outcome, simulate_watched};
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Scenario;

use super::request::Request;

/// No progress is printed for a shorter run.
const QUIET: Duration = Duration::from_secs(2);

/// The interval of progress lines if the output is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// The results of one scenario.
pub(super) struct Results<'a> {
    pub(super) scenario: &'a Scenario,
    /// The outcomes by candidate, then by seed, in the order of the request.
    pub(super) outcomes: Vec<Vec<Outcome>>,
}

/// Runs all simulations.
pub(super) fn run(request: &Request) -> Vec<Results<'_>> {
    let (candidates, seeds) = (request.candidates.len(), request.seeds.len());
    let each = candidates * seeds;
    let done = AtomicUsize::new(0);
    let work = |job: usize| {
        let scenario = &request.scenarios[job / each];
        let candidate = &request.candidates[job % each / seeds];
        let seed = request.seeds[job % seeds];
        let watch = |seconds: usize| {
            done.fetch_add(seconds, Ordering::Relaxed);
        };
        // Invalid ones were reported before any run.
        candidate
            .controller(scenario)
            .map(|mut controller| {
                simulate_watched(&scenario.cluster, controller.as_mut(), seed, &watch)
            })
            .ok()
    };
    let seconds = |scenario: &Scenario| scenario.cluster.traffic.seconds();
    let all: usize = request.scenarios.iter().map(seconds).sum::<usize>() * each;
    let mut progress = Progress::new(all);
    let outcomes = in_parallel(request.scenarios.len() * each, &work, &mut || {
        progress.print(done.load(Ordering::Relaxed));
    });
    progress.end();
    let mut outcomes = outcomes.into_iter().flatten();
    let results = request.scenarios.iter().map(|scenario| Results {
        scenario,
        outcomes: (0..candidates)
            .map(|_| outcomes.by_ref().take(seeds).collect())
            .collect(),
    });
    results.collect()
}

/// Prints the progress.
struct Progress {
    all: usize,
    start: Instant,
    printed: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            start: Instant::now(),
            printed: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    fn print(&mut self, done: usize) {
        let percent = 100 * done / self.all.max(1);
        let since = self.printed.unwrap_or(self.start).elapsed();
        if self.terminal && self.start.elapsed() > QUIET {
            eprint!("\rsimulated {percent}%");
            // Progress may be lost.
            io::stderr().flush().unwrap_or_default();
            self.printed = Some(Instant::now());
        } else if !self.terminal && since > LINE_INTERVAL {
            eprintln!("simulated {percent}%");
            self.printed = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.terminal && self.printed.is_some() {
            eprint!("\r               \r");
        }
    }
}
