//! `/debug/scalers` for tools and the status page for people.

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

/// Timeout for the control loop's reply.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The aggregator's own admin pages. Each request asks the control loop, so pages cost nothing while they are not read.
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
        let Some(scalers) = self.ask(Event::ViewsRequested).await else {
            return Some(no_reply());
        };
        Some(if path == "/" {
            match StatusPage::new(&scalers).render() {
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
    /// Sends an event and waits for the reply. `None` if the control loop does not reply in time.
    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Option<T> {
        let (sender, reply) = oneshot::channel();
        let request = async {
            self.events.send(event(sender)).await.ok()?;
            reply.await.ok()
        };
        timeout(LOOP_TIMEOUT, request).await.ok().flatten()
    }

    /// The recorded decisions, in the format that `pushscale replay` reads.
    async fn decisions(&self, scaler: ScalerKey) -> Reply {
        let name = scaler.to_string();
        let Some(found) = self
            .ask(|reply| Event::RecordingsRequested { scaler, reply })
            .await
        else {
            return no_reply();
        };
        let Some(recordings) = found else {
            let message = format!("PushScaler {name} not found\n");
            return text(StatusCode::NOT_FOUND, message);
        };
        let recordings = recordings.recordings(&name);
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

/// Parses `/debug/scalers/{namespace}/{name}/decisions.jsonl`.
fn scaler_of(path: &str) -> Option<ScalerKey> {
    let rest = path.strip_prefix("/debug/scalers/")?;
    let (namespace, name) = rest.strip_suffix("/decisions.jsonl")?.split_once('/')?;
    Some(ScalerKey {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

fn no_reply() -> Reply {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the control loop did not reply in time\n",
    )
}

fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "failed to render a page");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed to render the page: see the log\n",
    )
}
