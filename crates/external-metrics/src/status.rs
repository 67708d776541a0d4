//! Errors as the API machinery's `Status` objects, which every client of Kubernetes prints.

use hyper::StatusCode;
use pushscale_daemon::reply::{Reply, json};
use serde_json::json;
use thiserror::Error;

use crate::metric::MetricError;

/// Why a request is rejected.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error(
        "the client is not the API server: its certificate must be signed by the CA in ConfigMap \
         kube-system/extension-apiserver-authentication"
    )]
    Unauthenticated,
    #[error(
        "{user:?} cannot {verb} resource {metric:?} in API group \"external.metrics.k8s.io\" in the namespace {namespace:?}"
    )]
    Forbidden {
        user: String,
        verb: &'static str,
        metric: String,
        namespace: String,
    },
    #[error("path not found")]
    UnknownPath,
    #[error("method not allowed: external metrics can only be read")]
    Method,
    #[error("invalid labelSelector: {0}")]
    Selector(String),
    #[error(transparent)]
    Metric(#[from] MetricError),
    #[error("not ready: {0}")]
    NotReady(&'static str),
    #[error("failed to review the access: {0}")]
    Review(String),
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::UnknownPath
            | Self::Metric(MetricError::UnknownName(_) | MetricError::UnknownScaler { .. }) => {
                (StatusCode::NOT_FOUND, "NotFound")
            }
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::Selector(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Metric(_) | Self::NotReady(_) | Self::Review(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
            }
        }
    }

    /// Returns the response.
    pub(crate) fn reply(&self) -> Reply {
        let (code, reason) = self.status();
        let status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": reason,
            "code": code.as_u16(),
        });
        json(code, status.to_string())
    }
}
