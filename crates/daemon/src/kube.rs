//! Requests to the API server.

use std::time::Duration;

use ::kube::{Client, Config, Error};
use thiserror::Error as ThisError;

/// The status code for an object, or a kind, that does not exist.
pub const NOT_FOUND: u16 = 404;

/// The status code for an object that has changed since it was read.
pub const CONFLICT: u16 = 409;

/// The status code for a JSON patch whose test fails, or for an invalid object.
pub const UNPROCESSABLE: u16 = 422;

/// Timeout for data from the API server. A watch ends after 290 s at the latest and has bookmarks before, so a longer
/// silence is a broken connection.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Why a request failed. Displays the API server's own message, without the text that the client adds.
#[derive(Debug, ThisError)]
pub enum RequestError {
    /// The API server rejected the request, or could not be reached.
    #[error("{}", message(.0))]
    Failed(Error),
    /// The API server did not answer in time.
    #[error("the API server did not respond in time")]
    TimedOut,
}

impl RequestError {
    /// Returns the status code of the API server's answer.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// Returns the API server's own message, without the text that the client adds.
pub fn message(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// Connects to the API server with the kubeconfig or the pod's service account.
///
/// # Errors
/// If neither exists, or if it is invalid.
pub async fn client() -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(Error::InferConfig)?;
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config)
}

/// Waits for a request, at most for this time.
///
/// # Errors
/// If the request fails or takes longer.
pub async fn request<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout(limit, request).await {
        Ok(result) => result.map_err(RequestError::Failed),
        Err(_) => Err(RequestError::TimedOut),
    }
}
