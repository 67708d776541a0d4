//! Detects that every accepted request has completed. TorchServe does not count completed requests, so idleness is
//! derived from the time since the last change.
//!
//! A request that a worker processes now was taken before the queue was empty and no more requests arrived, so it
//! completes one service time after that. The service time is taken from the recent past: the longest of the last
//! minutes, plus a quarter. A request that arrived after the last completion counts as in flight, however long it
//! takes. With continuous batching, the gauge of the service time shows each step of the requests in flight.

use std::fmt;
use std::time::Duration;

use pushscale_protocol::{PortState, State};
use pushscale_reading::{Counters, Page, Queue, Reading, Scrape};

/// The shortest time without changes before the server counts as idle: five scrapes of a drain.
const MIN_IDLE: Duration = Duration::from_millis(500);

/// The factor on the longest observed service time.
const MARGIN: f64 = 1.25;

/// Short requests that complete between two scrapes take no more than this multiple of the workers' time: some of them
/// began before.
const MAX_BUSY_FACTOR: f64 = 1.5;

/// Service times are kept for one to two windows of this length.
const WINDOW: Duration = Duration::from_secs(300);

/// Refused scrapes in a row before the server counts as not running: one broken connection looks the same.
const MAX_REFUSED: u32 = 2;

/// The state of the server according to the scrapes so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServerActivity {
    /// No request waits, is in flight or arrives.
    Idle,
    /// The server refuses connections: it has not started, or it has exited.
    NotRunning,
    /// Requests are waiting or in flight, or may be.
    Busy {
        /// Waiting requests; `None` if the management port does not report them.
        waiting: Option<f64>,
        /// Whether a request arrived after the last completion.
        in_flight: bool,
        /// Time since a worker may have taken a request.
        unchanged: Duration,
    },
    /// The server reports no usable metrics, so it may have requests.
    Unknown(State),
}

/// Derives the server's activity from consecutive scrapes.
#[derive(Debug, Default)]
pub(super) struct IdleDetector {
    last: Option<Totals>,
    /// The last scrape with totals, and the last one with queues.
    at: Duration,
    queues: Option<Queues>,
    changed: Duration,
    in_flight: bool,
    /// The scrape that showed the last arrival.
    arrived: Option<Duration>,
    longest: LongestService,
    refused: u32,
}

/// The values that change with an arrival or a completion.
#[derive(Clone, Debug, Default, PartialEq)]
struct Totals {
    arrivals: f64,
    completions: Completions,
}

/// The values that change with a completion: the sums for REST, only the gauges for gRPC.
#[derive(Clone, Debug, Default, PartialEq)]
struct Completions {
    sojourn: f64,
    wait: f64,
    failed: f64,
    last_wait: Option<f64>,
    services: Vec<Option<f64>>,
}

/// What the management port reports of all models.
#[derive(Clone, Copy, Debug, Default)]
struct Queues {
    waiting: f64,
    /// The requests that are processed in parallel.
    slots: f64,
    /// In seconds.
    batch_delay: f64,
    continuous_batching: bool,
}

/// The longest service time, in seconds, of the current window and of the previous one.
#[derive(Debug, Default)]
struct LongestService {
    started: Duration,
    current: f64,
    previous: f64,
}

impl IdleDetector {
    /// Processes the next scrape and its reading.
    pub(super) fn observe(&mut self, scrape: &Scrape, reading: &Reading) -> ServerActivity {
        let page = match &scrape.metrics {
            Ok(page) => page,
            Err(PortState::Refused)
                if matches!(scrape.management, None | Some(Err(PortState::Refused))) =>
            {
                self.refused += 1;
                if self.refused >= MAX_REFUSED {
                    return ServerActivity::NotRunning;
                }
                return ServerActivity::Unknown(reading.state);
            }
            Err(_) => return ServerActivity::Unknown(reading.state),
        };
        self.refused = 0;
        if !page.recognised {
            // Its arrivals are not in the page.
            return ServerActivity::Unknown(State::Garbled);
        }
        let queues = scrape
            .management
            .as_ref()
            .and_then(|queues| queues.as_ref().ok());
        // The queue of a model that was not described in this scrape may have requests.
        let is_complete =
            queues.is_some_and(|queues| page.models.keys().all(|name| queues.contains_key(name)));
        let queues = queues.map(|queues| Queues::sum(queues.values()));
        let waiting = queues.filter(|_| is_complete).map(|queues| queues.waiting);
        self.queues = queues.or(self.queues);
        self.compare(scrape.at, page, waiting);
        let batch_delay = queues.map_or(0.0, |queues| queues.batch_delay);
        let longest = self.longest.seconds() * MARGIN + batch_delay;
        let needed = MIN_IDLE + Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX);
        let unchanged = scrape.at.saturating_sub(self.changed);
        if unchanged >= needed && !self.in_flight {
            ServerActivity::Idle
        } else {
            ServerActivity::Busy {
                waiting,
                in_flight: self.in_flight,
                unchanged,
            }
        }
    }

    /// The time of the scrape that showed the last arrival.
    pub(super) fn last_arrival(&self) -> Option<Duration> {
        self.arrived
    }

    fn compare(&mut self, at: Duration, page: &Page, waiting: Option<f64>) {
        let now = Totals::from_page(page);
        let elapsed = at.saturating_sub(std::mem::replace(&mut self.at, at));
        let gauge = now.completions.services.iter().copied().flatten();
        let gauge = gauge.reduce(f64::max);
        let Some(last) = self.last.replace(now.clone()) else {
            // Changes before the first scrape are unknown.
            self.changed = at;
            self.longest.record(at, gauge.unwrap_or(0.0));
            return;
        };
        let arrived = now.arrivals != last.arrivals;
        let (now, last) = (now.completions, last.completions);
        let completed = now != last;
        // A step of a request that remains in flight.
        let stepped = now.services != last.services
            && self.queues.is_some_and(|queues| queues.continuous_batching);
        if arrived {
            self.arrived = Some(at);
        }
        // A worker took its request while others waited or as it arrived. If the queue depth is unknown, each
        // completion may have been followed by a request from the queue.
        let dequeued = waiting.map_or(completed, |waiting| waiting > 0.0);
        if arrived || dequeued || stepped {
            self.changed = at;
        }
        if completed {
            self.in_flight = false;
            let served = now.served_since(&last);
            let longest = longest_service(gauge, served, elapsed, self.queues);
            self.longest.record(at, longest);
        } else if arrived {
            self.in_flight = true;
        }
    }
}

impl Totals {
    fn from_page(page: &Page) -> Self {
        let sum =
            |of: fn(&Counters) -> Option<f64>| page.models.values().filter_map(of).sum::<f64>();
        Self {
            arrivals: sum(|model| model.arrivals),
            completions: Completions {
                sojourn: sum(|model| model.sojourn_seconds),
                wait: sum(|model| model.wait_seconds),
                failed: page.server.failed.unwrap_or_default(),
                last_wait: page.server.last_wait_seconds,
                services: page
                    .models
                    .values()
                    .map(|model| model.service_seconds)
                    .collect(),
            },
        }
    }
}

impl Completions {
    /// The time in workers of all requests that were timed since `last`, in seconds.
    fn served_since(&self, last: &Self) -> f64 {
        ((self.sojourn - last.sojourn) - (self.wait - last.wait)).max(0.0)
    }
}

impl Queues {
    fn sum<'a>(queues: impl Iterator<Item = &'a Queue>) -> Self {
        queues.fold(Self::default(), |sum, queue| Self {
            waiting: sum.waiting + queue.waiting,
            slots: sum.slots + queue.slots(),
            batch_delay: sum.batch_delay.max(queue.batch_delay_seconds),
            continuous_batching: sum.continuous_batching || queue.continuous_batching,
        })
    }
}

/// The longest service time of the requests that completed within `elapsed`, in seconds, or an upper bound of it:
/// `gauge` is that of the last one only, `served` the sum of all. If the sum is more than the workers' time, a request
/// was long: of requests of 100 ms, one in a thousand takes 20 s, and the gauge hardly ever shows it.
fn longest_service(
    gauge: Option<f64>,
    served: f64,
    elapsed: Duration,
    queues: Option<Queues>,
) -> f64 {
    let Some(gauge) = gauge else {
        return served;
    };
    let workers_time = |queues: Queues| MAX_BUSY_FACTOR * queues.slots * elapsed.as_secs_f64();
    match queues {
        // With continuous batching, each step of a request is seen.
        Some(queues) if !queues.continuous_batching && served > workers_time(queues) => {
            gauge.max(served)
        }
        _ => gauge,
    }
}

impl LongestService {
    fn record(&mut self, at: Duration, seconds: f64) {
        if at.saturating_sub(self.started) >= WINDOW {
            self.started = at;
            self.previous = self.current;
            self.current = 0.0;
        }
        self.current = self.current.max(seconds);
    }

    fn seconds(&self) -> f64 {
        self.current.max(self.previous)
    }
}

impl fmt::Display for ServerActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::NotRunning => f.write_str("not running"),
            Self::Unknown(state) => write!(f, "server state unknown: {state:?}"),
            Self::Busy {
                waiting,
                in_flight,
                unchanged,
            } => {
                match waiting {
                    Some(waiting) => write!(f, "{waiting} requests waiting")?,
                    None => f.write_str("queue depth unknown")?,
                }
                if *in_flight {
                    f.write_str(", at least one in flight")?;
                }
                write!(f, ", unchanged for {:.1} s", unchanged.as_secs_f64())
            }
        }
    }
}
