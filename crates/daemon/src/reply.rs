//! HTTP answers with a whole body.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer whose body is known.
pub type Reply = Response<Full<Bytes>>;

/// An answer of this type and body.
pub fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A line of text.
pub fn text(status: StatusCode, line: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", line)
}

/// A JSON document.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, "application/json", body)
}
