//! Reading a whole request body with a size limit and a timeout.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use thiserror::Error;
use tokio::time::timeout;

/// Why a body could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The body is larger than the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or the framing is invalid.
    #[error("the body is incomplete")]
    Incomplete(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The timeout passed.
    #[error("the body did not arrive within {0:?}")]
    Timeout(Duration),
}

impl BodyError {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete(_) => StatusCode::BAD_REQUEST,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// Reads the whole body, at most `max_bytes` within `limit`.
///
/// # Errors
/// If it is larger, slower or incomplete. A body whose announced length is over the limit is not read at all.
pub async fn read(body: Incoming, max_bytes: usize, limit: Duration) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > max_bytes as u64) {
        return Err(BodyError::TooLarge(max_bytes));
    }
    match timeout(limit, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(max_bytes)),
        Ok(Err(error)) => Err(BodyError::Incomplete(error)),
        Err(_) => Err(BodyError::Timeout(limit)),
    }
}
