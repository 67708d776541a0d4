//! What a person sees while it runs: a line every two seconds, and each decision that changes something.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pushscale_aggregator::Report;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_testkit::load::RunningLoad;
use tokio::sync::watch;

use super::world::{Facts, Wanted};
use super::{AFTER, BEFORE, DemoOptions};

/// How often the sizes are noted for the charts.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// So many notes make a line.
const NOTES_A_LINE: usize = 10;

/// The demo goes on for this long after the size is back, so that the charts show it.
const AFTERGLOW: Duration = Duration::from_secs(4);

/// Sizes at one moment, in seconds since the load began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) at: f64,
    pub(crate) wanted: u32,
    pub(crate) ready: usize,
}

/// What is noted while the demo runs.
pub(crate) struct Live<'a> {
    load: &'a RunningLoad,
    ready: watch::Receiver<Vec<SocketAddr>>,
    wanted: watch::Receiver<Wanted>,
    facts: Facts,
    told: Option<String>,
    latency: String,
    seen: usize,
    history: Vec<Note>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        load: &'a RunningLoad,
        ready: watch::Receiver<Vec<SocketAddr>>,
        wanted: watch::Receiver<Wanted>,
        facts: Facts,
    ) -> Self {
        Self {
            load,
            ready,
            wanted,
            facts,
            told: None,
            latency: "–".to_owned(),
            seen: 0,
            history: Vec::new(),
        }
    }

    /// Until the size has gone up and is back, the time is over, or somebody pulls the stop.
    pub(crate) async fn watch(&mut self, options: &DemoOptions, stop: &Shutdown) {
        let began = self.load.began();
        let step_over = BEFORE + options.seconds;
        let mut back_since: Option<Instant> = None;
        let mut notes = tokio::time::interval(NOTE_EVERY);
        for count in 0.. {
            tokio::select! {
                _ = notes.tick() => {}
                () = stop.cancelled() => return,
            }
            let at = began.elapsed().as_secs_f64();
            let note = Note {
                at,
                wanted: self.wanted.borrow().servers,
                ready: self.ready.borrow().len(),
            };
            self.history.push(note);
            self.tell_decisions();
            if count % NOTES_A_LINE == 0 {
                self.tell_line(options, note);
            }
            let back = at > step_over && note.wanted == 1 && note.ready == 1;
            match back_since {
                _ if !back => back_since = None,
                None => back_since = Some(Instant::now()),
                Some(since) if since.elapsed() >= AFTERGLOW => return,
                Some(_) => {}
            }
            if at > step_over + AFTER {
                return;
            }
        }
    }

    pub(crate) fn into_history(self) -> Vec<Note> {
        self.history
    }

    fn tell_decisions(&mut self) {
        while let Some(report) = self.facts.next_report() {
            let Report::Status { status, .. } = report else {
                continue;
            };
            if let Some(latency) = &status.latency {
                self.latency.clone_from(latency);
            }
            let Some(decision) = status.decision else {
                continue;
            };
            if decision.starts_with("scale") && self.told.as_ref() != Some(&decision) {
                println!("        ↳ {decision}");
                self.told = Some(decision);
            }
        }
    }

    fn tell_line(&mut self, options: &DemoOptions, note: Note) {
        let rate = if note.at < BEFORE || note.at >= BEFORE + options.seconds {
            options.low
        } else {
            options.high
        };
        let new = self.load.samples_since(self.seen);
        self.seen += new.len();
        let waits: Vec<f64> = new
            .iter()
            .filter(|sample| !sample.outcome.failed())
            .map(|sample| sample.latency.as_secs_f64())
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "some requests")]
        let mean = match waits.len() {
            0 => "     –".to_owned(),
            count => format!("{:>5.2} s", waits.iter().sum::<f64>() / count as f64),
        };
        let failed = new.iter().filter(|sample| sample.outcome.failed()).count();
        println!(
            "{:>5.0} s  {rate:>4} requests/s  {} of {} servers ready  answered in {mean}  {failed} failed",
            note.at, note.ready, note.wanted
        );
    }
}
