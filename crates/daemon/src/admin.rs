//! `/live`, `/ready`, `/metrics`: the same in every program.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode};
use prometheus_client::registry::Registry;

use crate::readiness::Readiness;
use crate::reply::{Reply, reply, text};

/// Answers what every program answers, and asks `Own` for the rest.
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

/// The pages that only one program has.
pub trait Pages: Send + Sync + 'static {
    /// The page at `path`, if there is one.
    fn page(&self, path: &str) -> impl Future<Output = Option<Reply>> + Send;
}

impl<Own> Clone for Admin<Own> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<Own: Pages> Admin<Own> {
    /// The admin pages of a program with these metrics and pages of its own.
    pub fn new(readiness: Readiness, registry: Registry, own: Own) -> Self {
        Self {
            shared: Arc::new(Shared {
                readiness,
                registry,
                own,
            }),
        }
    }

    async fn answer(&self, method: &Method, path: &str) -> Reply {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match path {
            "/live" => text(StatusCode::OK, "live\n"),
            "/ready" if self.shared.readiness.is_ready() => text(StatusCode::OK, "ready\n"),
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready yet\n"),
            "/metrics" => self.metrics(),
            path => self
                .shared
                .own
                .page(path)
                .await
                .unwrap_or_else(|| text(StatusCode::NOT_FOUND, "no such page\n")),
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
                tracing::error!(%error, "metrics cannot be written");
                text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n")
            }
        }
    }
}

impl<Own: Pages> Service<Request<Incoming>> for Admin<Own> {
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request.method(), request.uri().path()).await) })
    }
}
