//! `/debug/scalers` for tools, and the status page for people.

use std::time::Duration;

use askama::Template as _;
use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, reply, text};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::Event;
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
}

fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "a page cannot be written");
    text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
}
