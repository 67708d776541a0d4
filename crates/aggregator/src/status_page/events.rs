//! Server-sent events: the parts of a page that have changed.
//!
//! A stream renders when its client has read everything before, so a slow client gets fewer updates and holds no more
//! memory. One that reads nothing is cut off by the server's write timeout.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use pushscale_daemon::reply::{self, Reply, text};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::fragment::event;
use super::{Current, StatusPage, Subject};

/// The time between two updates of a stream. Decisions can be made four times per second.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// A stream without events sends a comment this often, so that proxies keep it open and disconnected clients
/// are detected.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// An event that clients ignore.
const COMMENT: &[u8] = b":\n\n";

/// After this many milliseconds a browser connects again.
const BEGIN: &[u8] = b"retry: 2000\n\n";

/// One stream.
struct Stream {
    page: StatusPage,
    subject: Subject,
    changes: watch::Receiver<u64>,
    /// What the client has, by the elements' ids.
    sent: BTreeMap<String, u64>,
    /// Rendered events that the client has not read yet. Those of an overview are shared with all other streams.
    queue: VecDeque<Bytes>,
    /// Whether this is the first rendering, for which nothing has to change.
    is_first: bool,
    _permit: OwnedSemaphorePermit,
}

impl StatusPage {
    /// Returns a stream of events; `None` if the scaler does not exist.
    pub(super) async fn events(&self, subject: Subject) -> Option<Reply> {
        if let Subject::Scaler(key) = &subject {
            self.0.history.get(key)?;
        }
        let Ok(permit) = std::sync::Arc::clone(&self.0.streams).try_acquire_owned() else {
            let message = "too many open status pages: close one, or reload instead\n";
            let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, message);
            let headers = reply.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return Some(reply);
        };
        let stream = Stream {
            page: self.clone(),
            subject,
            changes: self.0.history.changes(),
            sent: BTreeMap::new(),
            queue: VecDeque::from([Bytes::from_static(BEGIN)]),
            is_first: true,
            _permit: permit,
        };
        let shutdown = self.0.shutdown.clone();
        let parts = stream::unfold(stream, move |mut stream| {
            let shutdown = shutdown.clone();
            async move {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => None,
                    part = stream.next() => part.map(|part| (part, stream)),
                }
            }
        });
        Some(reply::stream("text/event-stream", parts))
    }
}

impl Stream {
    /// Returns the next event, or a comment if there is none for a while; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if !self.is_first {
                sleep(UPDATE_INTERVAL).await;
                // Other scalers change all the time, of which this page may show nothing.
                if Instant::now() >= heartbeat {
                    return Some(Bytes::from_static(COMMENT));
                }
                match timeout_at(heartbeat, self.changes.changed()).await {
                    Ok(changed) => changed.ok()?,
                    Err(_) => return Some(Bytes::from_static(COMMENT)),
                }
            }
            self.is_first = false;
            self.render().await?;
        }
    }

    /// Queues the parts that have changed. Returns `None` if the scaler does not exist any more.
    async fn render(&mut self) -> Option<()> {
        self.changes.mark_unchanged();
        let current = match self.page.fragments(&self.subject).await? {
            Ok(current) => current,
            Err(error) => {
                tracing::error!(%error, "failed to render a part of the status page");
                return None;
            }
        };
        if let Current::Overview(overview) = &current
            && overview.version != *self.changes.borrow()
        {
            // It was rendered before the last change.
            self.changes.mark_changed();
        }
        let begins = self.sent.is_empty();
        let mut gone = std::mem::take(&mut self.sent);
        for fragment in current.all() {
            if gone.remove(&fragment.id) != Some(fragment.hash) {
                self.queue.push_back(fragment.event.clone());
            }
            self.sent.insert(fragment.id.clone(), fragment.hash);
        }
        let removed = gone.keys().map(|id| event("removed", id));
        self.queue.extend(removed);
        if let (Subject::Overview, true) = (&self.subject, begins) {
            // The page may have rows from before it was hidden.
            let ids: Vec<_> = self.sent.keys().map(String::as_str).collect();
            self.queue.push_back(event("rows", &ids.join(" ")));
        }
        Some(())
    }
}
