//! Reading a whole request body with a size limit and a timeout.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
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
    /// The bodies in progress of this address use its share of the budget.
    #[error("too many requests of this address in progress")]
    AddressBusy,
    /// The bodies in progress use the whole budget.
    #[error("too many requests in progress")]
    Busy,
}

impl BodyError {
    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete(_) => StatusCode::BAD_REQUEST,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::AddressBusy | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
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
    timeout(limit, collect(body, max_bytes))
        .await
        .unwrap_or(Err(BodyError::Timeout(limit)))
}

/// Copies all frames into one buffer. A list of frames would use 40 bytes for each chunk of one byte, and keep the
/// buffers that they are slices of.
async fn collect<B>(mut body: B, max_bytes: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Incomplete(error.into()))?;
        // Trailers are ignored.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max_bytes - whole.len() {
            return Err(BodyError::TooLarge(max_bytes));
        }
        if whole.is_empty() {
            // Growing in steps would allocate up to twice the size, and fragment the heap.
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or(max_bytes);
            whole.reserve(data.len() + rest.min(max_bytes));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[tokio::test]
    async fn a_body_of_tiny_chunks_does_not_keep_their_buffers() {
        const BUFFER: usize = 8192;
        let chunk = || {
            let mut buffer = BytesMut::zeroed(BUFFER);
            buffer.split_to(1).freeze()
        };
        let chunks = (0..100).map(|_| Ok::<_, Infallible>(Frame::data(chunk())));
        let whole = collect(StreamBody::new(stream::iter(chunks)), 100).await;
        let whole = whole.unwrap();
        assert_eq!(whole.len(), 100);
        let kept = whole.try_into_mut().unwrap().capacity();
        assert!(kept < BUFFER, "{kept} bytes are kept");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_rejected() {
        let chunks = (0..11).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))));
        let whole = collect(StreamBody::new(stream::iter(chunks)), 10).await;
        assert!(matches!(whole, Err(BodyError::TooLarge(10))));
    }
}
