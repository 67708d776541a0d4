//! The sidecar's own pages: `/reading`, the newest reading, and `/drain`.

use std::sync::Arc;

use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, text};
use pushscale_protocol::DRAIN_PATH;
use tokio::sync::watch;

use crate::drain::Drain;
use crate::identity::{Identity, SequencedReading};

/// The sidecar's own pages.
#[derive(Debug)]
pub(crate) struct SidecarPages {
    pub(crate) identity: Arc<Identity>,
    pub(crate) newest: watch::Receiver<Option<Arc<SequencedReading>>>,
    pub(crate) drain: Drain,
}

impl Pages for SidecarPages {
    async fn page(&self, path: &str, _query: &str) -> Option<Reply> {
        match path {
            "/reading" => Some(self.reading()),
            DRAIN_PATH => Some(self.drain.respond().await),
            _ => None,
        }
    }
}

impl SidecarPages {
    /// Returns the newest reading as it would be pushed now, whether or not an aggregator accepts it.
    fn reading(&self) -> Reply {
        let Some(newest) = self.newest.borrow().clone() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "not scraped yet\n");
        };
        match serde_json::to_vec_pretty(&self.identity.push(&newest)) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => {
                tracing::error!(%error, "failed to encode the reading");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "failed to encode the reading\n",
                )
            }
        }
    }
}
