//! All runs, on all cores, with a word now and then to whoever waits.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pushscale_simulator::cluster::{Outcome, simulate_watched};
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Scenario;

use super::request::Request;

/// What takes no longer needs no word.
const SHORT: Duration = Duration::from_secs(2);

/// A line so often, where a line cannot be written over.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What became of a scenario.
pub(super) struct Played<'a> {
    pub(super) scenario: &'a Scenario,
    /// By contender, then by seed, in the order of the request.
    pub(super) outcomes: Vec<Vec<Outcome>>,
}

pub(super) fn play(request: &Request) -> Vec<Played<'_>> {
    let (contenders, seeds) = (request.contenders.len(), request.seeds.len());
    let each = contenders * seeds;
    let done = AtomicUsize::new(0);
    let work = |job: usize| {
        let scenario = &request.scenarios[job / each];
        let contender = &request.contenders[job % each / seeds];
        let seed = request.seeds[job % seeds];
        let watch = |seconds: usize| {
            done.fetch_add(seconds, Ordering::Relaxed);
        };
        // Refused ones were told of before anything ran.
        contender
            .controller(scenario)
            .map(|mut controller| {
                simulate_watched(&scenario.world, controller.as_mut(), seed, &watch)
            })
            .ok()
    };
    let seconds = |scenario: &Scenario| scenario.world.traffic.seconds();
    let all: usize = request.scenarios.iter().map(seconds).sum::<usize>() * each;
    let mut progress = Progress::new(all);
    let outcomes = in_parallel(request.scenarios.len() * each, &work, &mut || {
        progress.say(done.load(Ordering::Relaxed));
    });
    progress.end();
    let mut outcomes = outcomes.into_iter().flatten();
    let played = request.scenarios.iter().map(|scenario| Played {
        scenario,
        outcomes: (0..contenders)
            .map(|_| outcomes.by_ref().take(seeds).collect())
            .collect(),
    });
    played.collect()
}

/// Says how far it is.
struct Progress {
    all: usize,
    began: Instant,
    said: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            began: Instant::now(),
            said: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    fn say(&mut self, done: usize) {
        let percent = 100 * done / self.all.max(1);
        let since = self.said.unwrap_or(self.began).elapsed();
        if self.terminal && self.began.elapsed() > SHORT {
            eprint!("\rsimulated {percent} %");
            // A word that does not get out is not missed.
            io::stderr().flush().unwrap_or_default();
            self.said = Some(Instant::now());
        } else if !self.terminal && since > LINE_EVERY {
            eprintln!("simulated {percent} %");
            self.said = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.terminal && self.said.is_some() {
            eprint!("\r               \r");
        }
    }
}
