//! The whole server, followed from scrape to scrape.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_protocol::{MAX_MODELS, Model, PortState, State};

use super::model_tracker::{Estimate, ModelScrape, ModelTracker};
use super::refusals::{RefusalShare, shares};
use crate::scrape::{Counters, Host, Page, Queue, Scrape};

/// Follows one server.
#[derive(Debug, Default)]
pub struct Reader {
    trackers: BTreeMap<String, ModelTracker>,
    last: Option<Page>,
    last_was_good: bool,
    went_away: bool,
    epoch: u64,
}

/// What one scrape came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When the server was scraped at, on the sidecar's clock since its start.
    pub at: Duration,
    /// What it is doing.
    pub state: State,
    /// How its metrics port answered.
    pub metrics_port: PortState,
    /// How its management port answered, if it is read.
    pub management_port: Option<PortState>,
    /// Goes up whenever its counters were seen to start again.
    pub counter_epoch: u64,
    /// Numbers of the whole server.
    pub host: Host,
    /// By name.
    pub models: Vec<Model<'static>>,
}

impl Reader {
    /// Takes the next scrape.
    pub fn read(&mut self, scrape: &Scrape) -> Reading {
        let management_port = scrape.management.as_ref().map(|answer| match answer {
            Ok(_) => PortState::Ok,
            Err(state) => *state,
        });
        let mut reading = Reading {
            at: scrape.at,
            state: State::Ready,
            metrics_port: PortState::Ok,
            management_port,
            counter_epoch: self.epoch,
            host: Host::default(),
            models: Vec::new(),
        };
        match &scrape.metrics {
            Err(port) => {
                self.last_was_good = false;
                // A server refuses connections only while it is starting or gone, so what answers next on
                // this port is another process, even if its counters should have passed the old ones.
                self.went_away |= *port == PortState::Refused;
                reading.metrics_port = *port;
                reading.state = state_of(*port);
            }
            Ok(page) => self.read_page(scrape, page, &mut reading),
        }
        reading
    }

    fn read_page(&mut self, scrape: &Scrape, page: &Page, reading: &mut Reading) {
        let no_queues = BTreeMap::new();
        let queues = match &scrape.management {
            Some(Ok(queues)) => queues,
            _ => &no_queues,
        };
        let restarted = self.went_away || self.started_again(page);
        if restarted && self.last.is_some() {
            self.epoch += 1;
        }
        if restarted {
            self.trackers.clear();
        }
        // A model that appears on a page of a process whose last page we saw has all its counts from since then.
        let watched = self.last_was_good || restarted;
        let failed = self.failed_since(page, restarted);
        let other_answers = self
            .last
            .as_ref()
            .is_some_and(|last| last.host.last_wait_seconds != page.host.last_wait_seconds);

        let names: Vec<&String> = page
            .models
            .keys()
            .chain(
                queues
                    .keys()
                    .filter(|name| !page.models.contains_key(*name)),
            )
            .take(MAX_MODELS)
            .collect();
        self.trackers.retain(|name, _| names.contains(&name));
        let mut warm = queues.is_empty();
        for name in &names {
            if !self.trackers.contains_key(*name) {
                let tracker = ModelTracker::new(scrape.at, watched);
                self.trackers.insert((*name).clone(), tracker);
            }
        }
        let of = |name: &str| {
            let counters = page.models.get(name).copied().unwrap_or_default();
            (counters, queues.get(name))
        };
        let claims: Vec<RefusalShare> = names
            .iter()
            .filter_map(|name| {
                let (counters, queue) = of(name);
                Some(
                    self.trackers
                        .get(*name)?
                        .refusal_share(scrape.at, counters, queue),
                )
            })
            .collect();
        for (name, share) in names.iter().zip(shares(&claims)) {
            let Some(tracker) = self.trackers.get_mut(*name) else {
                continue;
            };
            let (counters, queue) = of(name);
            let estimate = tracker.observe(ModelScrape {
                at: scrape.at,
                counters,
                queue,
                failed: failed * share,
                sole: names.len() == 1,
                other_answers,
            });
            warm |= estimate.warm;
            reading.models.push(model(name, &counters, queue, estimate));
        }
        let counted = page.models.values().any(|model| model.arrivals.is_some());
        reading.state = if queues.is_empty() && !page.recognised {
            // Some other program's page: its silence about our server's queue is not an empty queue.
            reading.models.clear();
            State::Garbled
        } else if !warm {
            State::WarmingUp
        } else if !counted {
            State::NoSamplesYet
        } else {
            State::Ready
        };
        reading.host = page.host;
        reading.counter_epoch = self.epoch;
        self.last = Some(page.clone());
        self.last_was_good = true;
        self.went_away = false;
    }

    /// Some counter went down, or a series that was there is gone.
    fn started_again(&self, page: &Page) -> bool {
        let Some(last) = &self.last else { return false };
        let fell = |then: Option<f64>, now: Option<f64>| match (then, now) {
            (Some(then), Some(now)) => now < then,
            (Some(_), None) => true,
            (None, _) => false,
        };
        fell(last.host.succeeded, page.host.succeeded)
            || fell(last.host.failed, page.host.failed)
            || last.models.iter().any(|(name, then)| {
                let now = page.models.get(name).copied().unwrap_or_default();
                fell(then.arrivals, now.arrivals)
                    || fell(then.wait_seconds, now.wait_seconds)
                    || fell(then.sojourn_seconds, now.sojourn_seconds)
            })
    }

    fn failed_since(&self, page: &Page, restarted: bool) -> f64 {
        let now = page.host.failed.unwrap_or_default();
        let then = match &self.last {
            Some(last) if !restarted => last.host.failed.unwrap_or_default(),
            Some(_) => 0.0,
            None => now,
        };
        (now - then).max(0.0)
    }
}

fn state_of(port: PortState) -> State {
    match port {
        PortState::Ok => State::Ready,
        PortState::Refused => State::Refused,
        PortState::Frozen => State::Frozen,
        PortState::Empty => State::Empty,
        PortState::Forbidden => State::Forbidden,
        PortState::Garbled => State::Garbled,
        PortState::Unknown => State::Unknown,
    }
}

fn model(
    name: &str,
    counters: &Counters,
    queue: Option<&Queue>,
    estimate: Estimate,
) -> Model<'static> {
    Model {
        name: name.to_owned().into(),
        queue_latency_seconds: estimate.wait,
        basis: estimate.basis,
        refusing: estimate.refusing,
        arrivals_total: counters.arrivals,
        refused_total: Some(estimate.refused),
        answered_total: estimate.answered,
        wait_seconds_total: counters.wait_seconds,
        sojourn_seconds_total: counters.sojourn_seconds,
        pending: queue.map(|queue| queue.pending),
        in_service: estimate.in_service,
        capacity_left: queue.map(|queue| queue.capacity_left),
        workers_ready: queue.map(|queue| queue.workers_ready),
        batch_size: queue.map(|queue| queue.batch_size),
        batch_delay_seconds: queue.map(|queue| queue.batch_delay_seconds),
        service_seconds: estimate.service,
        continuous_batching: queue.is_some_and(|queue| queue.continuous_batching),
    }
}
