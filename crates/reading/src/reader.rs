//! Derives the readings of a server from consecutive scrapes.

use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_protocol::{MAX_MODELS, Model, PortState, State};

use super::model_tracker::{ModelScrape, ModelTracker};
use super::rejections::{RejectionShare, shares};
use super::responses::Responses;
use crate::scrape::{Counters, Page, Scrape, ServerCounters};

/// Derives readings from the scrapes of one server.
#[derive(Debug, Default)]
pub struct Reader {
    trackers: BTreeMap<String, ModelTracker>,
    last: Option<Page>,
    /// The responses to the sidecar itself before the last page.
    last_own_responses: u64,
    responses: Responses,
    last_was_valid: bool,
    exited: bool,
    epoch: u64,
}

/// The measurements of one scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The time of the scrape, on the sidecar's monotonic clock since its start.
    pub at: Duration,
    /// The state of the server.
    pub state: State,
    /// The state of the metrics port.
    pub metrics_port: PortState,
    /// The state of the management port, if it is scraped.
    pub management_port: Option<PortState>,
    /// Increases each time the counters were reset.
    pub counter_epoch: u64,
    /// Values of the whole server.
    pub server: ServerCounters,
    /// The models, by name.
    pub models: Vec<Model<'static>>,
}

impl Reader {
    /// Processes the next scrape.
    pub fn read(&mut self, scrape: &Scrape) -> Reading {
        let management_port = scrape.management.as_ref().map(|result| match result {
            Ok(_) => PortState::Ok,
            Err(state) => *state,
        });
        let mut reading = Reading {
            at: scrape.at,
            state: State::Ready,
            metrics_port: PortState::Ok,
            management_port,
            counter_epoch: self.epoch,
            server: ServerCounters::default(),
            models: Vec::new(),
        };
        match &scrape.metrics {
            Err(port) => {
                self.last_was_valid = false;
                // A server that refuses connections is starting or has exited, so the next response on this port is
                // from another process, even if its counters exceed the old ones.
                self.exited |= *port == PortState::Refused;
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
        let restarted = self.exited || self.counters_reset(page);
        if restarted && self.last.is_some() {
            self.epoch += 1;
        }
        if restarted {
            self.trackers.clear();
        }
        // A model that was missing on the previous page of this process has counted only since then, unless that page
        // had no room for it.
        let was_full = self.last.as_ref().is_some_and(Page::is_full);
        let from_start = restarted || (self.last_was_valid && !was_full);
        let failed = self.failed_since(page, restarted);
        let other_completions = self
            .last
            .as_ref()
            .is_some_and(|last| last.server.last_wait_seconds != page.server.last_wait_seconds);

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
                let tracker = ModelTracker::new(scrape.at, from_start);
                self.trackers.insert((*name).clone(), tracker);
            }
        }
        let of = |name: &str| {
            let counters = page.models.get(name).copied().unwrap_or_default();
            (counters, queues.get(name))
        };
        let evidence: Vec<RejectionShare> = names
            .iter()
            .filter_map(|name| {
                let (counters, queue) = of(name);
                Some(
                    self.trackers
                        .get(*name)?
                        .rejection_share(scrape.at, counters, queue),
                )
            })
            .collect();
        let completed: Vec<f64> = names
            .iter()
            .filter_map(|name| Some(self.trackers.get(*name)?.completed_by_time(of(name).0)))
            .collect();
        let all_completed: f64 = completed.iter().sum();
        let responses = self.responses_since(scrape, page, restarted).map(|all| {
            let responses =
                self.responses
                    .count_request_responses(scrape.at, all, all_completed > 0.0);
            responses / all_completed.max(f64::MIN_POSITIVE)
        });
        let shares = shares(&evidence).into_iter().zip(completed);
        for (name, (share, completed)) in names.iter().zip(shares) {
            let Some(tracker) = self.trackers.get_mut(*name) else {
                continue;
            };
            let (counters, queue) = of(name);
            let estimate = tracker.observe(ModelScrape {
                at: scrape.at,
                counters,
                queue,
                failed: failed * share,
                responses: responses.map(|each| each * completed),
                sole: names.len() == 1,
                other_completions,
            });
            warm |= estimate.warm;
            let model = estimate.into_model(String::clone(name).into(), &counters, queue);
            reading.models.push(model);
        }
        let counted = page.models.values().any(|model| model.arrivals.is_some());
        reading.state = if !page.recognised {
            // Another program's page, or a metrics_config without the counters: what it lacks is not zero. With queues
            // from the management port, a loaded fleet without arrivals was scaled down to its minimum.
            reading.models.clear();
            State::Garbled
        } else if !warm {
            State::WarmingUp
        } else if !counted {
            State::NoSamplesYet
        } else {
            State::Ready
        };
        reading.server = page.server;
        reading.counter_epoch = self.epoch;
        self.last = Some(page.clone());
        self.last_own_responses = scrape.own_responses;
        self.last_was_valid = true;
        self.exited = false;
    }

    /// Whether a counter decreased or a series disappeared.
    fn counters_reset(&self, page: &Page) -> bool {
        let Some(last) = &self.last else { return false };
        let fell = |then: Option<f64>, now: Option<f64>| match (then, now) {
            (Some(then), Some(now)) => now < then,
            (Some(_), None) => true,
            (None, _) => false,
        };
        fell(last.server.succeeded, page.server.succeeded)
            || fell(last.server.failed, page.server.failed)
            || last.models.iter().any(|(name, then)| {
                let now = match page.models.get(name) {
                    Some(now) => *now,
                    // Another model has taken its place.
                    None if page.is_full() => return false,
                    None => Counters::default(),
                };
                fell(then.arrivals, now.arrivals)
                    || fell(then.wait_seconds, now.wait_seconds)
                    || fell(then.sojourn_seconds, now.sojourn_seconds)
            })
    }

    /// Returns the 2xx responses to others since the last page; `None` if the server does not count responses.
    fn responses_since(&self, scrape: &Scrape, page: &Page, restarted: bool) -> Option<f64> {
        let now = page.server.succeeded?;
        let last = self.last.as_ref().filter(|_| !restarted)?;
        let all = now - last.server.succeeded.unwrap_or_default();
        let own = scrape.own_responses.saturating_sub(self.last_own_responses);
        Some((all - own as f64).max(0.0))
    }

    fn failed_since(&self, page: &Page, restarted: bool) -> f64 {
        let now = page.server.failed.unwrap_or_default();
        let then = match &self.last {
            Some(last) if !restarted => last.server.failed.unwrap_or_default(),
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::scrape::Queue;

    #[test]
    fn a_model_that_makes_room_for_another_is_not_a_restart() {
        let models = |numbers: Range<usize>| numbers.map(|number| format!("{number:03}"));
        let mut reader = Reader::default();
        let mut read = |seconds, numbers: Range<usize>| {
            let counters = Counters {
                arrivals: Some(1000.0),
                ..Counters::default()
            };
            let page = Page {
                models: models(numbers.clone())
                    .map(|name| (name, counters))
                    .collect(),
                recognised: true,
                ..Page::default()
            };
            let queues = models(numbers).map(|name| (name, Queue::default()));
            reader.read(&Scrape {
                at: Duration::from_secs(seconds),
                own_responses: 0,
                metrics: Ok(page),
                management: Some(Ok(queues.collect())),
            })
        };
        read(0, 1..MAX_MODELS + 1);
        assert_eq!(read(1, 0..MAX_MODELS).counter_epoch, 0);
        let reading = read(2, 1..MAX_MODELS + 1);
        assert_eq!(reading.counter_epoch, 0);
        // The requests of the model that is back are not new.
        let last = reading.models.last().unwrap();
        assert_eq!((&*last.name, last.completed_total), ("256", Some(0.0)));
        assert_eq!(read(3, 1..MAX_MODELS).counter_epoch, 1);
    }
}
