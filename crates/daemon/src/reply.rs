//! HTTP responses.

use std::convert::Infallible;
use std::fmt::{self, Debug, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

/// A response.
pub type Reply = Response<ReplyBody>;

/// The body of a response.
pub enum ReplyBody {
    /// A complete body.
    Full(Full<Bytes>),
    /// Parts that are produced while the client reads: none is requested before the previous one has been sent.
    Stream(BoxStream<'static, Bytes>),
}

impl Default for ReplyBody {
    fn default() -> Self {
        Self::Full(Full::default())
    }
}

impl Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(body) => body.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(context),
            Self::Stream(parts) => parts
                .as_mut()
                .poll_next(context)
                .map(|part| part.map(|part| Ok(Frame::data(part)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Builds a successful response with this content type, whose body is sent while it is produced.
pub fn stream(
    content_type: &'static str,
    parts: impl Stream<Item = Bytes> + Send + 'static,
) -> Reply {
    let mut reply = reply(StatusCode::OK, content_type, Bytes::new());
    *reply.body_mut() = ReplyBody::Stream(Box::pin(parts));
    reply
}

/// Builds a response with this content type and body.
pub fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(ReplyBody::Full(Full::new(body.into())));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Builds a plain-text response.
pub fn text(status: StatusCode, line: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", line)
}

/// Builds a JSON response.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, "application/json", body)
}

/// Rejects a request with a one-line JSON body: `{"error":"…"}`. 429 and 503 ask the client to retry after a second.
pub fn reject(status: StatusCode, error: impl Display) -> Reply {
    let text = serde_json::Value::String(error.to_string());
    let mut reply = json(status, format!("{{\"error\":{text}}}"));
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) {
        let second = HeaderValue::from_static("1");
        reply.headers_mut().insert(RETRY_AFTER, second);
    }
    reply
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_rejection_is_one_line_of_json() {
        let reply = reject(StatusCode::SERVICE_UNAVAILABLE, "a \"quote\" and\na line");
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(reply.headers()[RETRY_AFTER], "1");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"error":"a \"quote\" and\na line"}"#);
    }
}
