//! Why a command cannot get what it needs from the cluster.

use thiserror::Error;

/// Why a command cannot get what it needs from the cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// There is no usable kubeconfig.
    #[error(
        "no usable kubeconfig: {message}; set KUBECONFIG, or --context to one of `kubectl config get-contexts`"
    )]
    Config {
        /// What is wrong.
        message: String,
    },
    /// The API server rejected a request, or could not be reached.
    #[error("failed to read {what}")]
    Request {
        /// The object.
        what: String,
        /// The error of the client.
        source: Box<kube::Error>,
    },
    /// The API server responds that there is no such object.
    #[error("{what} not found: check the name and the namespace (-n)")]
    NotFound {
        /// The object.
        what: String,
    },
    /// No response in time.
    #[error("failed to read {what}: no response from the API server within 10 s")]
    TimedOut {
        /// The object.
        what: String,
    },
    /// No aggregator was found.
    #[error(
        "no running aggregator found {place}; name its namespace with --pushscale-namespace, or its address with --aggregator"
    )]
    NoAggregator {
        /// Where it was searched for.
        place: String,
    },
    /// The aggregator could not be reached.
    #[error("failed to read {path} of aggregator {aggregator}: {problem}")]
    Aggregator {
        /// Pod or address.
        aggregator: String,
        /// The path of the page.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl ClusterError {
    pub(super) fn config(error: &dyn std::error::Error) -> Self {
        Self::Config {
            message: error.to_string(),
        }
    }

    pub(crate) fn request(what: &str, source: kube::Error) -> Self {
        let what = what.to_owned();
        match source {
            kube::Error::Api(status) if status.code == 404 => Self::NotFound { what },
            source => Self::Request {
                what,
                source: Box::new(source),
            },
        }
    }

    /// Whether the API server denied the request.
    pub(crate) fn is_forbidden(&self) -> bool {
        let Self::Request { source, .. } = self else {
            return false;
        };
        matches!(&**source, kube::Error::Api(status) if status.code == 403)
    }
}
