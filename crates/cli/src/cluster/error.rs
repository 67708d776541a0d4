//! Why a command cannot get what it needs from the cluster.

use thiserror::Error;

/// Why a command cannot get what it needs from the cluster.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum ClusterError {
    #[error(
        "no usable kubeconfig: {message}; set KUBECONFIG, or --context to one of `kubectl config get-contexts`"
    )]
    Config { message: String },
    #[error("failed to read {what}: {message}")]
    Rejected {
        what: String,
        /// The status code.
        code: u16,
        /// The API server's own message. The client's text has the whole status three times.
        message: String,
    },
    /// The API server could not be reached, or its response is invalid.
    #[error("failed to read {what}")]
    Request {
        what: String,
        source: Box<kube::Error>,
    },
    #[error("{what} not found: check the name and the namespace (-n)")]
    NotFound { what: String },
    #[error("failed to read {what}: no response from the API server within 10 s")]
    TimedOut { what: String },
    #[error(
        "no running aggregator found {scope}; name its namespace with --pushscale-namespace, or its address with --aggregator"
    )]
    NoAggregator { scope: String },
    /// The aggregator could not be reached.
    #[error("failed to read {path} of aggregator {aggregator}: {problem}")]
    Aggregator {
        /// Pod or address.
        aggregator: String,
        path: String,
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
            kube::Error::Api(status) => Self::Rejected {
                what,
                code: status.code,
                message: status.message,
            },
            source => Self::Request {
                what,
                source: Box::new(source),
            },
        }
    }

    /// Whether the API server denied the request.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Rejected { code: 403, .. })
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn request(code: u16) -> ClusterError {
        let message = "pods is forbidden: User \"jo\" cannot list resource \"pods\"";
        let status = Status::failure(message, "Forbidden").with_code(code);
        ClusterError::request("the pods", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_rejection_is_printed_with_the_message_of_the_api_server_once() {
        let error = request(403);
        assert_eq!(
            pushscale_daemon::error::chain(&error).to_string(),
            "failed to read the pods: pods is forbidden: User \"jo\" cannot list resource \"pods\""
        );
        assert!(error.is_forbidden());
        assert!(!request(500).is_forbidden());
        assert!(matches!(request(404), ClusterError::NotFound { .. }));
    }
}
