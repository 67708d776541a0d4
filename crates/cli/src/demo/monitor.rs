//! Prints the progress of a demo: a line every two seconds, and each decision that scales.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pushscale_aggregator::Report;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_testkit::load::RunningLoad;
use tokio::sync::watch;

use super::backend::{AggregatorOutput, Desired};
use super::options::{AFTER, BEFORE, DemoOptions};

/// How often the server counts are sampled for the charts.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);

/// How many samples pass between two printed lines.
const SAMPLES_PER_LINE: usize = 10;

/// How long the demo continues after the last scale-down, so that the charts show it.
const TAIL: Duration = Duration::from_secs(4);

/// The server counts at one time, in seconds since the load began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerCounts {
    pub(crate) at: f64,
    pub(crate) desired: u32,
    pub(crate) ready: usize,
}

/// Watches the servers and the control loop while the demo runs.
pub(crate) struct Monitor<'a> {
    load: &'a RunningLoad,
    ready: watch::Receiver<Vec<SocketAddr>>,
    desired: watch::Receiver<Desired>,
    output: AggregatorOutput,
    printed: Option<String>,
    latency: String,
    seen: usize,
    history: Vec<ServerCounts>,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(
        load: &'a RunningLoad,
        ready: watch::Receiver<Vec<SocketAddr>>,
        desired: watch::Receiver<Desired>,
        output: AggregatorOutput,
    ) -> Self {
        Self {
            load,
            ready,
            desired,
            output,
            printed: None,
            latency: "–".to_owned(),
            seen: 0,
            history: Vec::new(),
        }
    }

    /// Runs until the fleet has scaled up and down again, the time is over, or `stop`.
    pub(crate) async fn watch(&mut self, options: &DemoOptions, stop: &Shutdown) {
        let began = self.load.began();
        let step_over = BEFORE + options.seconds;
        let mut back_since: Option<Instant> = None;
        let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
        for count in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let at = began.elapsed().as_secs_f64();
            let counts = ServerCounts {
                at,
                desired: self.desired.borrow().servers,
                ready: self.ready.borrow().len(),
            };
            self.history.push(counts);
            self.print_decisions();
            if count % SAMPLES_PER_LINE == 0 {
                self.print_line(options, counts);
            }
            let back = at > step_over && counts.desired == 1 && counts.ready == 1;
            match back_since {
                _ if !back => back_since = None,
                None => back_since = Some(Instant::now()),
                Some(since) if since.elapsed() >= TAIL => return,
                Some(_) => {}
            }
            if at > step_over + AFTER {
                return;
            }
        }
    }

    pub(crate) fn into_history(self) -> Vec<ServerCounts> {
        self.history
    }

    fn print_decisions(&mut self) {
        while let Some(report) = self.output.next_report() {
            let Report::Status(report) = report else {
                continue;
            };
            let status = report.status;
            if let Some(latency) = &status.latency {
                self.latency.clone_from(latency);
            }
            let Some(decision) = status.decision else {
                continue;
            };
            if decision.starts_with("scale") && self.printed.as_ref() != Some(&decision) {
                println!("        ↳ {decision}");
                self.printed = Some(decision);
            }
        }
    }

    fn print_line(&mut self, options: &DemoOptions, counts: ServerCounts) {
        let rate = if counts.at < BEFORE || counts.at >= BEFORE + options.seconds {
            options.low
        } else {
            options.high
        };
        let new = self.load.samples_since(self.seen);
        self.seen += new.len();
        let latencies: Vec<f64> = new
            .iter()
            .filter(|sample| !sample.outcome.failed())
            .map(|sample| sample.latency.as_secs_f64())
            .collect();
        let mean = match latencies.len() {
            0 => "     –".to_owned(),
            count => format!("{:>5.2} s", latencies.iter().sum::<f64>() / count as f64),
        };
        let failed = new.iter().filter(|sample| sample.outcome.failed()).count();
        println!(
            "{:>5.0} s  {rate:>4} requests/s  {} of {} servers ready  mean latency {mean}  {failed} failed",
            counts.at, counts.ready, counts.desired
        );
    }
}
