//! The final report: text, CSV and a chart.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pushscale_simulator::cluster::Goal;
use pushscale_testkit::load::LoadReport;

use super::backend::Write;
use super::chart;
use super::hpa::{self, Simulated};
use super::monitor::ServerCounts;
use super::options::DemoOptions;

/// Requests with a longer latency count as slow, like failed ones.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The latency of a request that does not wait, in seconds: the service time of 100 ms and the overhead.
const SERVICE_SECONDS: f64 = 0.107;

/// The final report.
pub(crate) struct Report {
    load: LoadReport,
    history: Vec<ServerCounts>,
    writes: Vec<Write>,
    target: f64,
    step: Option<Instant>,
    /// The simulated HPA; `None` if there was no step, or no server became ready after it.
    hpa: Option<Simulated>,
    directory: PathBuf,
}

/// The requests that were sent in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    sent: u32,
    failed: u32,
    /// The sum of the waits of those that did not fail, in seconds.
    waited: f64,
}

impl Report {
    pub(crate) fn new(
        options: &DemoOptions,
        load: LoadReport,
        history: Vec<ServerCounts>,
        writes: Vec<Write>,
    ) -> Self {
        let step = load.steps.iter().find(|began| began.step == 1);
        let mut report = Self {
            step: step.map(|began| began.monotonic),
            target: f64::from(options.target_ms) / 1e3,
            hpa: None,
            directory: options.report.clone(),
            load,
            history,
            writes,
        };
        report.hpa = report.simulate_hpa(options.low, options.max);
        report
    }

    /// Whether the fleet scaled up and is back at one server.
    pub(crate) fn scaled_up_and_down(&self) -> bool {
        let up = self.writes.iter().any(|write| write.to > write.from);
        let back = self
            .history
            .last()
            .is_some_and(|counts| counts.desired == 1 && counts.ready == 1);
        up && back
    }

    /// Writes `report.svg`, `report.txt` and `requests.csv`.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let chart = chart::draw(&self.history, &self.waits(), self.target)?;
        fs::write(directory.join("report.svg"), chart)?;
        fs::write(directory.join("report.txt"), self.to_string())?;
        self.load
            .write_csv(fs::File::create(directory.join("requests.csv"))?)
    }

    /// Returns the time from the step's first request to the first scale-up after it.
    fn reaction(&self) -> Option<Duration> {
        let step = self.step?;
        let up = |write: &&Write| write.at >= step && write.to > write.from;
        self.writes
            .iter()
            .find(up)
            .map(|write| write.at.duration_since(step))
    }

    /// Returns the seconds from the step's first request until another server is ready.
    fn next_ready(&self) -> Option<f64> {
        let step = self.step?.duration_since(self.load.began).as_secs_f64();
        let before = self
            .history
            .iter()
            .rev()
            .find(|counts| counts.at <= step)?
            .ready;
        let more = |counts: &&ServerCounts| counts.at > step && counts.ready > before;
        self.history
            .iter()
            .find(more)
            .map(|counts| counts.at - step)
    }

    /// Groups the requests by the second in which they were sent.
    fn seconds(&self) -> Vec<Second> {
        let mut seconds: Vec<Second> = Vec::new();
        for sample in &self.load.samples {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "seconds of a demo"
            )]
            let second = sample.start_s.max(0.0) as usize;
            if seconds.len() <= second {
                seconds.resize(second + 1, Second::default());
            }
            let entry = &mut seconds[second];
            entry.sent += 1;
            if sample.outcome.failed() {
                entry.failed += 1;
            } else {
                entry.waited += (sample.latency.as_secs_f64() - SERVICE_SECONDS).max(0.0);
            }
        }
        seconds
    }

    /// Returns for each second its middle, the mean wait of the requests sent in it (`None` if none was completed), and
    /// whether one failed.
    fn waits(&self) -> Vec<(f64, Option<f64>, bool)> {
        let seconds = self.seconds().into_iter().enumerate();
        seconds
            .map(|(second, of)| {
                let completed = of.sent - of.failed;
                let wait = (completed > 0).then(|| of.waited / f64::from(completed));
                let at = second as f64 + 0.5;
                (at, wait, of.failed > 0)
            })
            .collect()
    }

    /// Returns the share of requests that waited more than four times the target, or failed.
    fn bad_share(&self) -> f64 {
        let limit = Duration::from_secs_f64(SERVICE_SECONDS + Goal::VIOLATION_FACTOR * self.target);
        self.load.bad_requests(limit).share()
    }

    /// Simulates an HPA under the same arrivals.
    fn simulate_hpa(&self, low: f64, max: u32) -> Option<Simulated> {
        let step = self.step?.duration_since(self.load.began).as_secs();
        let start = (self.next_ready()? - self.reaction()?.as_secs_f64()).max(1.0);
        let arrivals: Vec<u32> = self.seconds().iter().map(|of| of.sent).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few requests"
        )]
        let low = low.round() as u32;
        let fleet = hpa::Fleet {
            low,
            max,
            target: self.target,
            service: SERVICE_SECONDS,
            start,
        };
        let step = usize::try_from(step).ok()?;
        Some(hpa::simulate_hpa(fleet, &arrivals, step))
    }

    fn violated_seconds(&self) -> usize {
        let violated = |(_, wait, failed): &(f64, Option<f64>, bool)| {
            *failed || wait.is_some_and(|wait| wait > Goal::VIOLATION_FACTOR * self.target)
        };
        self.waits()
            .iter()
            .filter(|second| violated(second))
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |found: Option<f64>| {
            found.map_or("never".to_owned(), |seconds| format!("{seconds:.2} s"))
        };
        let all = self.load.bad_requests(SLOW_AFTER);
        let failed = self
            .load
            .samples
            .iter()
            .filter(|sample| sample.outcome.failed())
            .count();
        let replicas: Vec<String> = std::iter::once("1".to_owned())
            .chain(self.writes.iter().map(|write| write.to.to_string()))
            .collect();
        let hpa = self.hpa;
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        let beside =
            |f: &mut fmt::Formatter<'_>, what: &str, ours: String, other: Option<String>| {
                let other = other.unwrap_or_else(|| "unknown".to_owned());
                writeln!(f, "{what:<42} {ours:>10} {other:>14}")
            };
        writeln!(f)?;
        writeln!(f, "{:<42} {:>10} {:>14}", "", "this run", "an HPA *")?;
        beside(
            f,
            "time from the step to the first scale-up",
            seconds(self.reaction().map(|it| it.as_secs_f64())),
            hpa.map(|hpa| seconds(hpa.reaction)),
        )?;
        beside(
            f,
            "violation seconds (wait over 4 × target)",
            self.violated_seconds().to_string(),
            hpa.map(|hpa| format!("{:.0}", hpa.violated)),
        )?;
        beside(
            f,
            "requests that waited as long, or failed",
            percent(self.bad_share()),
            hpa.map(|hpa| percent(hpa.bad_share)),
        )?;
        writeln!(
            f,
            "* simulated with the same arrivals and start delays, behind Prometheus: scrapes and decisions every 15 s"
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "next server ready after    {}",
            seconds(self.next_ready())
        )?;
        writeln!(f, "replicas                   {}", replicas.join(" → "))?;
        writeln!(f, "requests                   {}, {failed} failed", all.of)?;
        writeln!(f, "failed or slower than 1 s  {}", percent(all.share()))?;
        write!(
            f,
            "chart                      {}",
            self.directory.join("report.svg").display()
        )
    }
}
