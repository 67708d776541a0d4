//! Scrapes the management port: the models and their queues.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pushscale_protocol::{MAX_MODELS, PortState};
use pushscale_reading::{Page, Queue};

use super::port::Port;
use super::throttle::Throttle;
use super::token::Token;
use crate::torchserve::{ModelList, Queues, RENEW_KEY_PATH, describe_path, list_path};

/// Interval of requests for the list of models. A new model in the metrics triggers one at once.
const LIST_INTERVAL: Duration = Duration::from_secs(10);

/// Models described per scrape; each costs the server 0.4 ms. Models with arrivals or waiting requests come first and
/// take turns if they are more; their queues are unknown in the meantime. The others take turns as well: without
/// arrivals an empty queue stays empty.
const MAX_DESCRIBED: usize = 32;

/// Delay before a new queue is read again. A request on its way to an idle worker is in the queue for a fraction of a
/// millisecond; with a target of 7 ms, counting it as waiting would triple the fleet.
const RECHECK_DELAY: Duration = Duration::from_millis(50);

/// The management port of one server.
#[derive(Debug)]
pub(super) struct Management {
    port: Port,
    throttle: Throttle,
    token: Token,
    models: BTreeMap<String, ModelEntry>,
    listed: Option<Instant>,
    next_busy: usize,
    next_idle: usize,
}

#[derive(Debug, Default)]
struct ModelEntry {
    queue: Option<Queue>,
    arrivals: Option<f64>,
    registration: Registration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Registration {
    #[default]
    Registered,
    /// Its series stay on the metrics page until TorchServe ends.
    Unregistered,
}

impl Management {
    /// Scrapes `port`, whose normal timeout is `timeout`.
    pub(super) fn new(port: Port, timeout: Duration, token_file: Option<PathBuf>) -> Self {
        Self {
            port,
            throttle: Throttle::new(timeout),
            token: Token::new(token_file),
            models: BTreeMap::new(),
            listed: None,
            next_busy: 0,
            next_idle: 0,
        }
    }

    /// The number of responses with status 200.
    pub(super) fn succeeded(&self) -> u64 {
        self.port.succeeded()
    }

    /// The minimum interval of scrapes.
    pub(super) fn min_interval(&self) -> Duration {
        self.throttle.min_interval()
    }

    /// Requests the list of models, only to learn whether the port responds.
    pub(super) async fn ping(&mut self) -> Result<(), PortState> {
        let list = self.port.get(&list_path(None), self.token.header()).await;
        list.map(drop)
    }

    /// Scrapes the queues of the models. The metrics page shows which models have new arrivals.
    pub(super) async fn scrape(
        &mut self,
        page: &Page,
    ) -> Result<BTreeMap<String, Queue>, PortState> {
        if !self.throttle.begin(Instant::now()) {
            return Err(PortState::Frozen);
        }
        let outcome = self.refresh(page).await;
        if outcome.is_ok() {
            self.throttle.scraped();
        }
        if outcome == Err(PortState::Forbidden) {
            self.replace_token().await;
        }
        outcome?;
        Ok(self
            .models
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), entry.queue?)))
            .collect())
    }

    /// The server creates a new key at each start. A key expires, after an hour by default, and the server does not
    /// replace it unless it is asked to.
    async fn replace_token(&mut self) {
        if self.token.reload() {
            return;
        }
        let Some(api_key) = self.token.renew_with(Instant::now()) else {
            return;
        };
        if let Err(state) = self.port.get(RENEW_KEY_PATH, Some(&api_key)).await {
            tracing::debug!(?state, "failed to renew the management key");
        }
        self.token.reload();
    }

    async fn refresh(&mut self, page: &Page) -> Result<(), PortState> {
        let is_unlisted = |name| !self.models.contains_key(name);
        let due = self.listed.is_none_or(|at| at.elapsed() >= LIST_INTERVAL);
        if due || page.models.keys().any(is_unlisted) {
            self.list(page).await?;
        }
        let mut new_queues = Vec::new();
        for name in self.choose(page) {
            let before = self.waiting(&name);
            self.describe(&name).await?;
            if before.is_none_or(|waiting| waiting <= 0.0) && self.waiting(&name) > Some(0.0) {
                new_queues.push(name);
            }
        }
        if !new_queues.is_empty() {
            tokio::time::sleep(RECHECK_DELAY).await;
            for name in new_queues {
                self.describe(&name).await?;
            }
        }
        Ok(())
    }

    fn waiting(&self, name: &str) -> Option<f64> {
        Some(self.models.get(name)?.queue?.waiting)
    }

    /// Lists the models. Those of the page that are not registered any more have an empty queue.
    async fn list(&mut self, page: &Page) -> Result<(), PortState> {
        let mut names = BTreeSet::new();
        let mut page_token: Option<String> = None;
        let is_complete = loop {
            let path = list_path(page_token.as_deref());
            let body = self.port.get(&path, self.token.header()).await?;
            let list: ModelList<'_> =
                serde_json::from_slice(&body).map_err(|_| PortState::Garbled)?;
            page_token = list.next_page_token();
            let before = names.len();
            names.extend(list.names().take(MAX_MODELS - before));
            if page_token.is_none() || names.len() == before {
                break names.len() < MAX_MODELS;
            }
        };
        let unregistered = page.models.keys().filter(|name| !names.contains(*name));
        let unregistered: Vec<String> = unregistered.cloned().collect();
        let mut before = std::mem::take(&mut self.models);
        for name in names {
            let entry = before.remove(&name);
            let entry = entry.filter(|entry| entry.registration == Registration::Registered);
            self.models.insert(name, entry.unwrap_or_default());
        }
        for name in unregistered {
            let entry = ModelEntry {
                queue: is_complete.then(|| Queue {
                    batch_size: 1.0,
                    ..Queue::default()
                }),
                arrivals: page.models.get(&name).and_then(|model| model.arrivals),
                registration: Registration::Unregistered,
            };
            self.models.insert(name, entry);
        }
        self.listed = Some(Instant::now());
        Ok(())
    }

    /// Returns the models to describe in this scrape.
    fn choose(&mut self, page: &Page) -> Vec<String> {
        let mut chosen = Vec::new();
        let mut idle = Vec::new();
        for (name, entry) in &mut self.models {
            let arrivals = page.models.get(name).and_then(|model| model.arrivals);
            if entry.registration == Registration::Unregistered {
                if entry.arrivals != arrivals {
                    self.listed = None;
                }
                continue;
            }
            let busy =
                entry.queue.is_none_or(|queue| queue.waiting > 0.0) || entry.arrivals != arrivals;
            entry.arrivals = arrivals;
            if busy {
                chosen.push(name.clone());
            } else {
                idle.push(name.clone());
            }
        }
        if chosen.len() > MAX_DESCRIBED {
            let first = self.next_busy % chosen.len();
            chosen.rotate_left(first);
            self.next_busy = first + MAX_DESCRIBED;
            for name in chosen.drain(MAX_DESCRIBED..) {
                if let Some(entry) = self.models.get_mut(&name) {
                    entry.queue = None;
                }
            }
        }
        let room = (MAX_DESCRIBED - chosen.len()).min(idle.len());
        for _ in 0..room {
            self.next_idle = (self.next_idle + 1) % idle.len();
            chosen.push(idle[self.next_idle].clone());
        }
        chosen
    }

    async fn describe(&mut self, name: &str) -> Result<(), PortState> {
        let path = describe_path(name);
        let started = Instant::now();
        self.port.set_timeout(self.throttle.timeout());
        let body = match self.port.get(&path, self.token.header()).await {
            Ok(body) => body,
            Err(PortState::Frozen) => {
                self.throttle.timed_out(Instant::now());
                return Err(PortState::Frozen);
            }
            // A 404 means that the model was unregistered since the list; the port is fine.
            Err(PortState::Garbled) => {
                self.models.remove(name);
                self.listed = None;
                return Ok(());
            }
            Err(state) => return Err(state),
        };
        let queues: Queues<'_> = serde_json::from_slice(&body).map_err(|_| PortState::Garbled)?;
        self.throttle.described(started.elapsed(), queues.has_gpu());
        if let Some(entry) = self.models.get_mut(name) {
            entry.queue = queues.sum();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_models_take_turns_and_no_queue_is_older_than_the_scrape() {
        let port = Port::new(
            &"http://127.0.0.1:1".parse().unwrap(),
            Duration::from_secs(1),
            1,
        );
        let mut management = Management::new(port, Duration::from_secs(1), None);
        let names: Vec<_> = (10..50).map(|number| format!("model-{number}")).collect();
        let mut page = Page::default();
        let mut described = BTreeMap::<String, u32>::new();
        for scrape in 0..10 {
            for name in &names {
                let counters = page.models.entry(name.clone()).or_default();
                counters.arrivals = Some(f64::from(scrape));
                management.models.entry(name.clone()).or_default();
            }
            let chosen = management.choose(&page);
            assert_eq!(chosen.len(), MAX_DESCRIBED);
            for name in &chosen {
                *described.entry(name.clone()).or_default() += 1;
                management.models.get_mut(name).unwrap().queue = Some(Queue::default());
            }
            for (name, entry) in &management.models {
                assert_eq!(entry.queue.is_some(), chosen.contains(name), "{name}");
            }
        }
        assert_eq!(described.len(), 40);
        assert!(described.values().all(|times| *times == 8), "{described:?}");
    }
}
