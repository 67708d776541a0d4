//! The sidecar's own pages: `/reading`, the answer to "what does it see?", and `/drain`.

use std::sync::Arc;

use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, text};
use pushscale_protocol::DRAIN_PATH;
use tokio::sync::watch;

use crate::drain::Drain;
use crate::identity::Identity;
use crate::push::Taken;

/// The sidecar's own pages.
#[derive(Debug)]
pub(crate) struct SidecarPages {
    pub(crate) identity: Arc<Identity>,
    pub(crate) newest: watch::Receiver<Option<Arc<Taken>>>,
    pub(crate) drain: Drain,
}

impl Pages for SidecarPages {
    async fn page(&self, path: &str) -> Option<Reply> {
        match path {
            "/reading" => Some(self.reading()),
            DRAIN_PATH => Some(self.drain.answer().await),
            _ => None,
        }
    }
}

impl SidecarPages {
    /// The newest reading as it would be pushed now, whether or not an aggregator takes it.
    fn reading(&self) -> Reply {
        let Some(taken) = self.newest.borrow().clone() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no look taken yet\n");
        };
        let age = taken.at.elapsed().as_secs_f64();
        let push = self.identity.push(&taken.numbered, age);
        match serde_json::to_vec_pretty(&push) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => {
                tracing::error!(%error, "a reading cannot be written as JSON");
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
            }
        }
    }
}
