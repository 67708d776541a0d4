//! `/live`, `/ready` and `/metrics`: the same in every program.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode, Uri};
use prometheus_client::registry::Registry;

use crate::heartbeat::Heartbeat;
use crate::readiness::Readiness;
use crate::reply::{Reply, reply, text};

/// Serves the common pages, and those of `Own`.
#[derive(Debug)]
pub struct Admin<Own> {
    shared: Arc<Shared<Own>>,
    optional: Readiness,
    heartbeat: Option<Heartbeat>,
}

#[derive(Debug)]
struct Shared<Own> {
    readiness: Readiness,
    registry: Registry,
    own: Own,
}

/// The pages of one program.
pub trait Pages: Send + Sync + 'static {
    /// Returns the page at `path`, or `None` if there is none. `query` is empty if the URL has none.
    fn page(&self, path: &str, query: &str) -> impl Future<Output = Option<Reply>> + Send;
}

/// No pages besides those of every program.
#[derive(Debug)]
pub struct NoPages;

impl Pages for NoPages {
    async fn page(&self, _path: &str, _query: &str) -> Option<Reply> {
        None
    }
}

impl<Own> Clone for Admin<Own> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            optional: self.optional.clone(),
            heartbeat: self.heartbeat.clone(),
        }
    }
}

impl<Own: Pages> Admin<Own> {
    /// Creates the admin pages of a program with these metrics and additional pages.
    pub fn new(readiness: Readiness, registry: Registry, own: Own) -> Self {
        Self {
            shared: Arc::new(Shared {
                readiness,
                registry,
                own,
            }),
            optional: Readiness::default(),
            heartbeat: None,
        }
    }

    /// Makes `/ready` wait for these parts as well. The program does its main work without them.
    #[must_use]
    pub fn with_optional_parts(self, optional: Readiness) -> Self {
        Self { optional, ..self }
    }

    /// Makes the program neither live nor ready while the task of this heartbeat is stalled.
    #[must_use]
    pub fn with_heartbeat(self, heartbeat: Heartbeat) -> Self {
        Self {
            heartbeat: Some(heartbeat),
            ..self
        }
    }

    async fn respond(&self, method: &Method, uri: &Uri) -> Reply {
        if method != Method::GET && method != Method::HEAD {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed: use GET\n",
            );
        }
        let is_stalled = self.heartbeat.as_ref().is_some_and(Heartbeat::is_stalled);
        let is_ready = self.shared.readiness.is_ready() && self.optional.is_ready();
        match uri.path() {
            "/live" | "/ready" if is_stalled => {
                text(StatusCode::SERVICE_UNAVAILABLE, "stalled: no progress\n")
            }
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if is_ready => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready yet\n"),
            "/metrics" => self.metrics(),
            path => self
                .shared
                .own
                .page(path, uri.query().unwrap_or_default())
                .await
                .unwrap_or_else(|| text(StatusCode::NOT_FOUND, "page not found\n")),
        }
    }

    fn metrics(&self) -> Reply {
        let mut page = String::new();
        match prometheus_client::encoding::text::encode(&mut page, &self.shared.registry) {
            Ok(()) => reply(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                page,
            ),
            Err(error) => {
                tracing::error!(%error, "failed to encode metrics");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "failed to encode metrics\n",
                )
            }
        }
    }
}

impl<Own: Pages> Service<Request<Incoming>> for Admin<Own> {
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.respond(request.method(), request.uri()).await) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test]
    async fn ready_once_the_optional_parts_are_up_too() {
        let (readiness, optional) = (Readiness::default(), Readiness::default());
        let latches = [readiness.latch(), optional.latch()];
        let admin =
            Admin::new(readiness, Registry::default(), NoPages).with_optional_parts(optional);
        let ready = Uri::from_static("/ready");
        for latch in latches {
            let reply = admin.respond(&Method::GET, &ready).await;
            assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
            drop(latch);
        }
        let reply = admin.respond(&Method::GET, &ready).await;
        assert_eq!(reply.status(), StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_program_is_neither_live_nor_ready() {
        let heartbeat = Heartbeat::new(Duration::from_secs(30));
        let admin = Admin::new(Readiness::default(), Registry::default(), NoPages)
            .with_heartbeat(heartbeat.clone());
        let status = async |path| {
            let reply = admin.respond(&Method::GET, &Uri::from_static(path)).await;
            reply.status()
        };
        for path in ["/live", "/ready"] {
            heartbeat.beat();
            advance(Duration::from_secs(30)).await;
            assert_eq!(status(path).await, StatusCode::OK, "{path}");
            advance(Duration::from_secs(1)).await;
            assert_eq!(status(path).await, StatusCode::SERVICE_UNAVAILABLE);
            // The metrics stay available, to diagnose the stall.
            assert_eq!(status("/metrics").await, StatusCode::OK);
        }
    }
}
