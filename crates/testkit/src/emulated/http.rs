//! HTTP/1.1 like TorchServe's Netty.
//!
//! It is written by hand, because a server library follows the standard where TorchServe does not: a library honours
//! `Connection: close` and HTTP/1.0, and does not reset connections.

use std::io;

use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The limit for the head of a request. Netty's limit is 8 KiB per part, and TorchServe's limit for a body is 6.5 MB.
const HEAD_LIMIT: usize = 16 * 1024;
const BODY_LIMIT: usize = 6_553_500;

#[derive(Debug)]
pub(super) struct Request {
    pub(super) is_head: bool,
    /// The unescaped segments of the path, without empty ones.
    pub(super) path: Vec<String>,
    /// The unescaped names and values.
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Returns all values of the parameter `name`.
    pub(super) fn parameters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// Reads the next request; `None` if the client has closed the connection. `buffer` keeps the bytes after the request.
pub(super) async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Request>> {
    loop {
        if let Some((mut request, head, body)) = parse_head(buffer)? {
            while buffer.len() < head + body {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            request.body = buffer[head..head + body].to_vec();
            buffer.drain(..head + body);
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Returns the request without its body, the length of its head, and the length of its body.
fn parse_head(buffer: &[u8]) -> io::Result<Option<(Request, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(buffer).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if buffer.len() > HEAD_LIMIT => {
            return Err(io::Error::other("the request's head is too long"));
        }
        httparse::Status::Partial => return Ok(None),
    };
    let body = content_length(parsed.headers)?;
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        is_head: parsed.method == Some("HEAD"),
        path: path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(unescape)
            .collect(),
        query: query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (unescape(name), unescape(value)))
            .collect(),
        body: Vec::new(),
    };
    Ok(Some((request, head, body)))
}

fn content_length(headers: &[httparse::Header<'_>]) -> io::Result<usize> {
    let find = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    if find("transfer-encoding").is_some() {
        return Err(io::Error::other("chunked request bodies are not emulated"));
    }
    let Some(header) = find("content-length") else {
        return Ok(0);
    };
    str::from_utf8(header.value)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|length| *length <= BODY_LIMIT)
        .ok_or_else(|| io::Error::other("the content-length is not a number, or too large"))
}

/// Decodes `%XX`. A `%` without two hexadecimal digits remains unchanged.
fn unescape(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    reason: &'static str,
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

impl Response {
    /// Returns a response of `/ping` or the management API.
    pub(super) fn json(value: &impl Serialize) -> Self {
        Self {
            status: 200,
            reason: "OK",
            content_type: Some("application/json"),
            body: pretty(value, "\n"),
        }
    }

    /// Returns a response of the metrics port.
    pub(super) fn text(body: String) -> Self {
        Self {
            status: 200,
            reason: "OK",
            content_type: Some("text/plain; version=0.0.4; charset=utf-8"),
            body: body.into_bytes(),
        }
    }

    /// Returns a response of a model. It has no content type and no reason phrase, unless the handler sets them.
    pub(super) fn prediction(value: &impl Serialize) -> Self {
        Self {
            status: 200,
            reason: "",
            content_type: None,
            body: pretty(value, ""),
        }
    }

    /// Returns an error response. The connection is closed after it, as TorchServe does after every error.
    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        #[derive(Serialize)]
        struct Error<'a> {
            code: u16,
            r#type: &'a str,
            message: &'a str,
        }
        Self {
            status,
            reason: reason(status),
            content_type: Some("application/json"),
            body: pretty(
                &Error {
                    code: status,
                    r#type: kind,
                    message,
                },
                "\n",
            ),
        }
    }

    pub(super) fn not_found() -> Self {
        Self::error(
            404,
            "ResourceNotFoundException",
            "Requested resource is not found, please refer to API document.",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::error(
            405,
            "MethodNotAllowedException",
            "Requested method is not allowed, please refer to API document.",
        )
    }

    pub(super) fn closes(&self) -> bool {
        self.status >= 400
    }

    /// Writes the response. The response to a HEAD request has a length and no body.
    pub(super) async fn write(&self, stream: &mut TcpStream, is_head: bool) -> io::Result<()> {
        let content_type = match self.content_type {
            Some(value) => format!("content-type: {value}\r\n"),
            None => String::new(),
        };
        let connection = if self.closes() { "close" } else { "keep-alive" };
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\n\
             {content_type}\
             x-request-id: {}\r\n\
             Pragma: no-cache\r\n\
             Cache-Control: no-cache; no-store, must-revalidate, private\r\n\
             Expires: Thu, 01 Jan 1970 00:00:00 UTC\r\n\
             content-length: {}\r\n\
             connection: {connection}\r\n\r\n",
            self.status,
            self.reason,
            request_id(),
            self.body.len(),
        )
        .into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        stream.write_all(&bytes).await
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// Formats JSON like Gson, which is also serde_json's pretty format.
fn pretty(value: &impl Serialize, end: &str) -> Vec<u8> {
    // Serialization cannot fail: all keys are strings.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.extend_from_slice(end.as_bytes());
    bytes
}

fn request_id() -> String {
    let [a, b] = [fastrand::u64(..), fastrand::u64(..)];
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_gives_path_parameters_and_length_of_the_body() {
        let text = b"POST /predictions/my%20model/1.0?name%5B%5D=a&name[]=b HTTP/1.0\r\n\
                     Content-Length: 4\r\n\r\n{}\n\nGET";
        let (request, head, body) = parse_head(text).unwrap().unwrap();
        assert_eq!(request.path, ["predictions", "my model", "1.0"]);
        assert_eq!(request.parameters("name[]").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(&text[head..head + body], b"{}\n\n");
        assert!(parse_head(&text[..40]).unwrap().is_none());
    }

    #[test]
    fn bad_heads_are_errors_and_bad_escapes_stay() {
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
        assert!(parse_head(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n").is_err());
        assert!(parse_head(&[b'a'; HEAD_LIMIT + 1]).is_err());
        assert_eq!(unescape("a%2Fb%zz%é%2"), "a/b%zz%é%2");
    }
}
