//! The whole body of a request, capped and timed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use thiserror::Error;
use tokio::time::timeout;

/// Why a body is not there.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or what came is no body.
    #[error("the body did not arrive whole: {0}")]
    Broken(String),
    /// It took too long.
    #[error("the body did not arrive within {0:?}")]
    Slow(Duration),
}

impl BodyError {
    /// What it is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// The whole body: at most so many bytes, within this time.
///
/// # Errors
/// If it is larger, slower or broken. One that is announced as larger is not read at all.
pub async fn whole(body: Incoming, most: usize, within: Duration) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > most as u64) {
        return Err(BodyError::TooLarge(most));
    }
    match timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge(most)),
        Ok(Err(error)) => Err(BodyError::Broken(error.to_string())),
        Err(_) => Err(BodyError::Slow(within)),
    }
}
