//! `/live`, `/ready` and `/metrics`: the same in every program.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode, Uri};
use prometheus_client::registry::Registry;

use crate::readiness::Readiness;
use crate::reply::{Reply, reply, text};

/// Serves the common pages, and those of `Own`.
#[derive(Debug)]
pub struct Admin<Own> {
    shared: Arc<Shared<Own>>,
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
        }
    }

    async fn respond(&self, method: &Method, uri: &Uri) -> Reply {
        if method != Method::GET && method != Method::HEAD {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed: use GET\n",
            );
        }
        match uri.path() {
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if self.shared.readiness.is_ready() => text(StatusCode::OK, "ready\n"),
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
