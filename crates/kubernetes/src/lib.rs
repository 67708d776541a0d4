//! The client of the API server, its requests and their errors.

use std::time::Duration;

use kube::core::response::StatusDetails;
use kube::{Client, Config};
use pushscale_daemon::exit::RunError;
use thiserror::Error;
use tokio::time::timeout;

/// The status code for a request without permission.
pub const FORBIDDEN: u16 = 403;

/// The status code for an object, or a kind, that does not exist.
pub const NOT_FOUND: u16 = 404;

/// The status code for an object that has changed since it was read.
pub const CONFLICT: u16 = 409;

/// The status code for a JSON patch whose test fails, or for an invalid object.
pub const UNPROCESSABLE: u16 = 422;

/// Timeout for data from the API server. A watch ends after 290 s at the latest and has bookmarks before, so a longer
/// silence is a broken connection.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// The API server accepts notes of events of up to 1024 bytes.
const MAX_NOTE_BYTES: usize = 1000;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The API server rejected it, or could not be reached.
    #[error("{}", message(.0))]
    Failed(kube::Error),
    /// The API server did not respond in time.
    #[error("the API server did not respond in time")]
    TimedOut,
}

impl RequestError {
    /// Returns the status code of the API server's response; `None` without one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(kube::Error::Api(status)) => Some(status.code),
            Self::Failed(_) | Self::TimedOut => None,
        }
    }
}

/// Returns a client of the pod's own cluster, or of the one in KUBECONFIG.
///
/// # Errors
/// If no cluster is configured.
pub async fn client() -> Result<Client, RunError> {
    let failed = |error| RunError::Cluster(Box::new(error));
    let config = Config::infer()
        .await
        .map_err(|error| failed(kube::Error::InferConfig(error)))?;
    client_with(config).map_err(failed)
}

/// Returns a client of this cluster.
///
/// # Errors
/// If the configuration is invalid, for example because a certificate does not parse.
pub fn client_with(mut config: Config) -> Result<Client, kube::Error> {
    config.read_timeout = Some(READ_TIMEOUT);
    // Kube would repeat a request that an overloaded API server rejects, up to 15 times and four minutes apart, without
    // an error. The callers repeat requests themselves, and report failures.
    config.default_retry = false;
    Client::try_from(config)
}

/// Waits for the response to a request.
///
/// # Errors
/// If the request fails, or takes longer than `limit`.
pub async fn request<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, RequestError> {
    match timeout(limit, request).await {
        Ok(response) => response.map_err(RequestError::Failed),
        Err(_) => Err(RequestError::TimedOut),
    }
}

/// Returns whether the API server does not know the kind of the object, as after its CRD was deleted. If only the
/// object does not exist, the response names it.
pub fn is_kind_unknown(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let names_object = |details: &StatusDetails| !details.name.is_empty();
    status.code == NOT_FOUND && !status.details.as_ref().is_some_and(names_object)
}

/// Returns the API server's own message, without the text that the client adds.
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// Shortens the note of an event to what the API server accepts.
pub fn truncate_note(mut note: String) -> String {
    if note.len() > MAX_NOTE_BYTES {
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        note.push('…');
    }
    note
}
