//! `/debug/scalers` for tools, and the status page for people.

use std::time::Duration;

use askama::Template as _;
use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, reply, text};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::Event;
use crate::names::ScalerKey;
use crate::status_page::StatusPage;
use crate::view::ScalerView;

/// How long the loop may take to answer.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The aggregator's own pages. Each asks the loop: a page that nobody looks at costs nothing.
#[derive(Debug)]
pub(crate) struct AggregatorPages {
    pub(crate) events: mpsc::Sender<Event>,
}

impl Pages for AggregatorPages {
    async fn page(&self, path: &str) -> Option<Reply> {
        if let Some(scaler) = scaler_of(path) {
            return Some(self.decisions(scaler).await);
        }
        if !matches!(path, "/" | "/debug/scalers") {
            return None;
        }
        let Some(scalers) = self.ask().await else {
            return Some(text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the control loop does not answer\n",
            ));
        };
        Some(if path == "/" {
            match StatusPage::of(&scalers).render() {
                Ok(page) => reply(StatusCode::OK, "text/html; charset=utf-8", page),
                Err(error) => failed(&error),
            }
        } else {
            match serde_json::to_vec_pretty(&scalers) {
                Ok(body) => json(StatusCode::OK, body),
                Err(error) => failed(&error),
            }
        })
    }
}

impl AggregatorPages {
    async fn ask(&self) -> Option<Vec<ScalerView>> {
        let (answer, told) = oneshot::channel();
        let asked = async {
            self.events.send(Event::Asked(answer)).await.ok()?;
            told.await.ok()
        };
        timeout(LOOP_TIMEOUT, asked).await.ok().flatten()
    }

    /// The last decisions with all that led to them: what `pushscale replay` reads.
    async fn decisions(&self, scaler: ScalerKey) -> Reply {
        let (answer, told) = oneshot::channel();
        let name = scaler.to_string();
        let asked = async {
            let event = Event::AskedForDecisions { scaler, answer };
            self.events.send(event).await.ok()?;
            told.await.ok()
        };
        let Some(found) = timeout(LOOP_TIMEOUT, asked).await.ok().flatten() else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the control loop does not answer\n",
            );
        };
        let Some(recordings) = found else {
            let problem = format!("there is no PushScaler {name} here\n");
            return text(StatusCode::NOT_FOUND, problem);
        };
        let lines: Result<Vec<String>, _> = recordings.iter().map(serde_json::to_string).collect();
        match lines {
            Ok(lines) => {
                let mut body = lines.join("\n");
                body.push('\n');
                reply(StatusCode::OK, "application/jsonl; charset=utf-8", body)
            }
            Err(error) => failed(&error),
        }
    }
}

/// `/debug/scalers/{namespace}/{name}/decisions.jsonl`
fn scaler_of(path: &str) -> Option<ScalerKey> {
    let rest = path.strip_prefix("/debug/scalers/")?;
    let (namespace, name) = rest.strip_suffix("/decisions.jsonl")?.split_once('/')?;
    Some(ScalerKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "a page cannot be written");
    text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
}
