//! The aggregator's pages: `/debug/scalers` for tools, and the status page for people.

use std::time::Duration;

use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, reply, text};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::Event;
use crate::names::ScalerKey;
use crate::status_page::{StatusPage, scaler_key};

/// Timeout for the control loop's reply.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The aggregator's own admin pages. `/debug/scalers` asks the control loop, and costs nothing while unread.
/// The status page reads the history.
#[derive(Debug)]
pub(crate) struct AggregatorPages {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) status_page: StatusPage,
}

impl Pages for AggregatorPages {
    async fn page(&self, path: &str) -> Option<Reply> {
        if let Some((scaler, page)) = scaler_page(path) {
            return Some(match page {
                ScalerPage::View => self.view(scaler).await,
                ScalerPage::Decisions => self.decisions(scaler).await,
            });
        }
        if path != "/debug/scalers" {
            return self.status_page.page(path).await;
        }
        let Some(scalers) = self.ask(Event::ViewsRequested).await else {
            return Some(no_reply());
        };
        Some(match serde_json::to_vec_pretty(&scalers) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => failed(&error),
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

    /// The state of one scaler, which is what an element of `/debug/scalers` is.
    async fn view(&self, scaler: ScalerKey) -> Reply {
        let name = scaler.to_string();
        match self
            .ask(|reply| Event::ViewRequested { scaler, reply })
            .await
        {
            None => no_reply(),
            Some(None) => not_found(&name),
            Some(Some(view)) => match serde_json::to_vec_pretty(&view) {
                Ok(body) => json(StatusCode::OK, body),
                Err(error) => failed(&error),
            },
        }
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
            return not_found(&name);
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

/// A page of one scaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScalerPage {
    View,
    Decisions,
}

/// Parses `/debug/scalers/{namespace}/{name}`, with or without `/decisions.jsonl`.
fn scaler_page(path: &str) -> Option<(ScalerKey, ScalerPage)> {
    let (path, page) = match path.strip_suffix("/decisions.jsonl") {
        Some(path) => (path, ScalerPage::Decisions),
        None => (path, ScalerPage::View),
    };
    Some((scaler_key(path, "/debug/scalers/")?, page))
}

fn not_found(name: &str) -> Reply {
    text(
        StatusCode::NOT_FOUND,
        format!("PushScaler {name} not found\n"),
    )
}

fn no_reply() -> Reply {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the control loop did not reply in time\n",
    )
}

pub(crate) fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "failed to render a page");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed to render the page: see the log\n",
    )
}
