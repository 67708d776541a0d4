//! The management port: which models there are, and how long their queues are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use pushscale_protocol::PortState;
use serde::Deserialize;

use super::port::Port;
use crate::scrape::{Page, Queue};
use crate::torchserve::{ModelList, Queues, describe_path, list_path};

/// The list of models is asked for this often, and whenever a model appears in the metrics.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// So many models are described in one scrape: 0.4 ms of the server's time each. Those that have arrivals or
/// waiting requests come first, the others take turns: without arrivals an empty queue stays empty.
const DESCRIBED_AT_ONCE: usize = 16;

/// A queue that is seen where none was is scraped at again after this long. A request that is being handed to an
/// idle worker stands in the queue for a fraction of a millisecond; at a target of 7 ms that one glance would
/// triple the fleet.
const SECOND_GLANCE_AFTER: Duration = Duration::from_millis(50);

/// The management port of one server.
#[derive(Debug)]
pub(super) struct Management {
    port: Port,
    token: Token,
    models: BTreeMap<String, Known>,
    listed: Option<Instant>,
    turn: usize,
}

#[derive(Debug, Default)]
struct Known {
    queue: Option<Queue>,
    arrivals: Option<f64>,
}

impl Management {
    pub(super) fn new(port: Port, token_file: Option<PathBuf>) -> Self {
        Self {
            port,
            token: Token::new(token_file),
            models: BTreeMap::new(),
            listed: None,
            turn: 0,
        }
    }

    /// The queues of all models whose queue is known, given what the metrics page says of them.
    pub(super) async fn scrape(
        &mut self,
        page: &Page,
    ) -> Result<BTreeMap<String, Queue>, PortState> {
        let outcome = self.refresh(page).await;
        if outcome == Err(PortState::Forbidden) {
            // The server writes a new key at each start.
            self.token.read_again();
        }
        outcome?;
        Ok(self
            .models
            .iter()
            .filter_map(|(name, known)| Some((name.clone(), known.queue?)))
            .collect())
    }

    async fn refresh(&mut self, page: &Page) -> Result<(), PortState> {
        let unheard = page
            .models
            .keys()
            .any(|name| !self.models.contains_key(name));
        let due = self.listed.is_none_or(|at| at.elapsed() >= LIST_EVERY);
        if due || unheard {
            self.list().await?;
        }
        let mut begun = Vec::new();
        for name in self.choose(page) {
            let before = self.pending(&name);
            self.describe(&name).await?;
            if before.is_none_or(|pending| pending <= 0.0) && self.pending(&name) > Some(0.0) {
                begun.push(name);
            }
        }
        if !begun.is_empty() {
            tokio::time::sleep(SECOND_GLANCE_AFTER).await;
            for name in begun {
                self.describe(&name).await?;
            }
        }
        Ok(())
    }

    fn pending(&self, name: &str) -> Option<f64> {
        Some(self.models.get(name)?.queue?.pending)
    }

    async fn list(&mut self) -> Result<(), PortState> {
        let body = self.port.get(&list_path(), self.token.header()).await?;
        let list: ModelList<'_> = serde_json::from_slice(&body).map_err(|_| PortState::Garbled)?;
        let mut before = std::mem::take(&mut self.models);
        self.models = list
            .names()
            .map(|name| {
                let known = before.remove(&name).unwrap_or_default();
                (name, known)
            })
            .collect();
        self.listed = Some(Instant::now());
        Ok(())
    }

    /// The models to describe now.
    fn choose(&mut self, page: &Page) -> Vec<String> {
        let mut chosen = Vec::new();
        let mut calm = Vec::new();
        for (name, known) in &mut self.models {
            let arrivals = page.models.get(name).and_then(|model| model.arrivals);
            let busy =
                known.queue.is_none_or(|queue| queue.pending > 0.0) || known.arrivals != arrivals;
            known.arrivals = arrivals;
            if busy {
                chosen.push(name.clone());
            } else {
                calm.push(name.clone());
            }
        }
        chosen.truncate(DESCRIBED_AT_ONCE);
        let room = (DESCRIBED_AT_ONCE - chosen.len()).min(calm.len());
        for _ in 0..room {
            self.turn = (self.turn + 1) % calm.len();
            chosen.push(calm[self.turn].clone());
        }
        chosen
    }

    async fn describe(&mut self, name: &str) -> Result<(), PortState> {
        let path = describe_path(name);
        let body = match self.port.get(&path, self.token.header()).await {
            Ok(body) => body,
            // Unregistered since the list: its 404 is no fault of the port.
            Err(PortState::Garbled) => {
                self.models.remove(name);
                self.listed = None;
                return Ok(());
            }
            Err(state) => return Err(state),
        };
        let queues: Queues<'_> = serde_json::from_slice(&body).map_err(|_| PortState::Garbled)?;
        if let Some(known) = self.models.get_mut(name) {
            known.queue = queues.sum();
        }
        Ok(())
    }
}

/// The token for the management port, from a file: its text, or TorchServe's own `key_file.json`.
#[derive(Debug)]
struct Token {
    file: Option<PathBuf>,
    header: Option<HeaderValue>,
}

impl Token {
    fn new(file: Option<PathBuf>) -> Self {
        let mut token = Self { file, header: None };
        token.read_again();
        token
    }

    fn header(&self) -> Option<&HeaderValue> {
        self.header.as_ref()
    }

    fn read_again(&mut self) {
        let Some(file) = &self.file else { return };
        self.header = match std::fs::read_to_string(file) {
            Ok(text) => bearer(&text),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the token file cannot be read");
                None
            }
        };
    }
}

fn bearer(text: &str) -> Option<HeaderValue> {
    #[derive(Deserialize)]
    struct KeyFile {
        management: Key,
    }
    #[derive(Deserialize)]
    struct Key {
        key: String,
    }
    let key = match serde_json::from_str::<KeyFile>(text) {
        Ok(file) => file.management.key,
        Err(_) => text.trim().to_owned(),
    };
    let mut header = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_files_text_or_the_management_key_in_it() {
        assert_eq!(bearer("abc\n").unwrap(), "Bearer abc");
        let key_file = r#"{"management": {"key": "m", "expiration time": "x"},
                           "inference": {"key": "i"}, "API": {"key": "a"}}"#;
        assert_eq!(bearer(key_file).unwrap(), "Bearer m");
        assert!(bearer("two\nlines").is_none());
        assert!(bearer("m").unwrap().is_sensitive());
    }
}
