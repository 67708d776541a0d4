//! Has everything that came in gone out? TorchServe does not count answers, so it is judged by when anything moved
//! last.
//!
//! What is in a worker's requests now was taken before the queue became empty and the last request came, so it is done
//! one service time later. How long that is has been seen: the longest of the last minutes, and a quarter more. A
//! request that came after the last answer is still there whatever the time.

use std::fmt;
use std::time::Duration;

use pushscale_protocol::State;

use crate::reading::Reading;
use crate::scrape::{Page, Scrape};

/// So long nothing may have moved, however short the requests are: five scrapes of a drain.
const LEAST_QUIET: Duration = Duration::from_millis(500);

/// What the longest service time seen is multiplied by.
const MARGIN: f64 = 1.25;

/// Service times are remembered for one to two of these.
const REMEMBERED: Duration = Duration::from_secs(300);

/// A connection that breaks once is an accident, and scrapes like a server that is gone.
const REFUSED_IN_A_ROW: u32 = 2;

/// What the scrapes up to now say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServerActivity {
    /// Nothing waits, nothing is in service, nothing comes.
    Idle,
    /// Nobody listens: it has not started, or it has ended.
    NotRunning,
    /// Something waits, is in service, or may be.
    Busy {
        /// Requests waiting; `None`: the management port does not tell.
        pending: Option<f64>,
        /// A request came after the last answer.
        unanswered: bool,
        /// Since when nothing was taken into service, as far as the scrapes tell.
        still: Duration,
    },
    /// It says nothing that could be judged, so it may have everything left to do.
    Unknown(State),
}

/// Follows the scrapes.
#[derive(Debug, Default)]
pub(super) struct IdleDetector {
    last: Option<Totals>,
    moved: Duration,
    unanswered: bool,
    /// When the last request was seen to have come.
    arrived: Option<Duration>,
    longest: Longest,
    refused: u32,
}

/// What can move.
#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    arrivals: f64,
    answers: Answers,
}

/// What deltas with an answer: by REST the sums, by gRPC the gauges alone.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answers {
    sojourn: f64,
    wait: f64,
    failed: f64,
    last_wait: Option<f64>,
    services: Vec<Option<f64>>,
}

/// The longest service time, in seconds, of this stretch of time and of the one before.
#[derive(Debug, Default)]
struct Longest {
    began: Duration,
    now: f64,
    before: f64,
}

impl IdleDetector {
    /// Takes the next scrape, and the reading that was made of it.
    pub(super) fn observe(&mut self, scrape: &Scrape, reading: &Reading) -> ServerActivity {
        let page = match &scrape.metrics {
            Ok(page) => page,
            Err(_) if reading.state == State::Refused => {
                self.refused += 1;
                if self.refused >= REFUSED_IN_A_ROW {
                    return ServerActivity::NotRunning;
                }
                return ServerActivity::Unknown(reading.state);
            }
            Err(_) => return ServerActivity::Unknown(reading.state),
        };
        self.refused = 0;
        if reading.state == State::Garbled {
            return ServerActivity::Unknown(reading.state);
        }
        let queues = scrape
            .management
            .as_ref()
            .and_then(|queues| queues.as_ref().ok());
        let pending = queues.map(|queues| queues.values().map(|queue| queue.pending).sum::<f64>());
        let batch_delay = queues.map_or(0.0, |queues| {
            let delays = queues.values().map(|queue| queue.batch_delay_seconds);
            delays.fold(0.0, f64::max)
        });
        self.compare(scrape.at, page, pending);
        let longest = self.longest.seconds() * MARGIN + batch_delay;
        let needed = LEAST_QUIET + Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX);
        let still = scrape.at.saturating_sub(self.moved);
        if still >= needed && !self.unanswered {
            ServerActivity::Idle
        } else {
            ServerActivity::Busy {
                pending,
                unanswered: self.unanswered,
                still,
            }
        }
    }

    /// When the last request was seen to have come, on the scrapes' clock.
    pub(super) fn last_arrival(&self) -> Option<Duration> {
        self.arrived
    }

    fn compare(&mut self, at: Duration, page: &Page, pending: Option<f64>) {
        let now = Totals::of(page);
        let Some(last) = self.last.replace(now.clone()) else {
            // What moved before the first scrape is not known.
            self.moved = at;
            self.longest.saw(at, service(page, None));
            return;
        };
        let arrived = now.arrivals != last.arrivals;
        let answered = now.answers != last.answers;
        if arrived {
            self.arrived = Some(at);
        }
        // What is in hand was taken while requests waited, or as it came. Where nobody tells of those that wait, each
        // answer may have made room for one of them.
        if arrived || pending.map_or(answered, |pending| pending > 0.0) {
            self.moved = at;
        }
        if answered {
            self.unanswered = false;
            self.longest.saw(at, service(page, Some(&last.answers)));
        } else if arrived {
            self.unanswered = true;
        }
    }
}

impl Totals {
    fn of(page: &Page) -> Self {
        let sum = |of: fn(&crate::scrape::Counters) -> Option<f64>| {
            page.models.values().filter_map(of).sum::<f64>()
        };
        Self {
            arrivals: sum(|model| model.arrivals),
            answers: Answers {
                sojourn: sum(|model| model.sojourn_seconds),
                wait: sum(|model| model.wait_seconds),
                failed: page.host.failed.unwrap_or_default(),
                last_wait: page.host.last_wait_seconds,
                services: page
                    .models
                    .values()
                    .map(|model| model.service_seconds)
                    .collect(),
            },
        }
    }
}

/// The longest time in a worker that this page tells of. Without a gauge of it (`metrics_mode=legacy`) it is what all
/// that was answered since the last page took together, which is no less.
fn service(page: &Page, last: Option<&Answers>) -> f64 {
    let gauges = page
        .models
        .values()
        .filter_map(|model| model.service_seconds);
    if let Some(longest) = gauges.reduce(f64::max) {
        return longest;
    }
    last.map_or(0.0, |last| {
        let now = Totals::of(page).answers;
        ((now.sojourn - last.sojourn) - (now.wait - last.wait)).max(0.0)
    })
}

impl Longest {
    fn saw(&mut self, at: Duration, seconds: f64) {
        if at.saturating_sub(self.began) >= REMEMBERED {
            self.began = at;
            self.before = self.now;
            self.now = 0.0;
        }
        self.now = self.now.max(seconds);
    }

    fn seconds(&self) -> f64 {
        self.now.max(self.before)
    }
}

impl fmt::Display for ServerActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("quiet"),
            Self::NotRunning => f.write_str("gone"),
            Self::Unknown(state) => write!(f, "server state unknown: {state:?}"),
            Self::Busy {
                pending,
                unanswered,
                still,
            } => {
                match pending {
                    Some(pending) => write!(f, "{pending} requests waiting")?,
                    None => f.write_str("queue depth unknown")?,
                }
                if *unanswered {
                    f.write_str(", at least one in service")?;
                }
                write!(f, ", the last one arrived {:.1} s ago", still.as_secs_f64())
            }
        }
    }
}
