//! Sends one request and reads its response, with as little work as possible: the measured servers share the machine.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Connections, LoadOptions, Outcome};

const HEAD_LIMIT: usize = 16 * 1024;

/// The settings that all requests of a load share.
#[derive(Debug)]
pub(super) struct Exchange {
    request: Vec<u8>,
    timeout: Duration,
    /// The idle connections; `None` opens a new connection for each request.
    idle: Option<Mutex<HashMap<SocketAddr, Vec<TcpStream>>>>,
}

impl Exchange {
    pub(super) fn new(options: &LoadOptions) -> Arc<Self> {
        Arc::new(Self {
            request: options.request(),
            timeout: options.timeout,
            idle: match options.connections {
                Connections::PerRequest => None,
                Connections::KeepAlive => Some(Mutex::default()),
            },
        })
    }

    /// Sends the request. The timeout starts at `departure`.
    pub(super) async fn run(&self, target: SocketAddr, departure: Instant) -> Outcome {
        let Some(deadline) = departure.checked_add(self.timeout) else {
            return self.attempt(target).await;
        };
        timeout_at(deadline, self.attempt(target))
            .await
            .unwrap_or(Outcome::Timeout)
    }

    async fn attempt(&self, target: SocketAddr) -> Outcome {
        match self.exchange_messages(target).await {
            Ok(status) => Outcome::Status(status),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Outcome::Refused,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Outcome::Reset,
                _ => Outcome::Other,
            },
        }
    }

    async fn exchange_messages(&self, target: SocketAddr) -> io::Result<u16> {
        let mut stream = match self.take_idle(target) {
            Some(stream) => stream,
            None => TcpStream::connect(target).await?,
        };
        stream.write_all(&self.request).await?;
        let head = read_response(&mut stream).await?;
        if let (Some(idle), true) = (&self.idle, head.keep_alive) {
            idle.lock().entry(target).or_default().push(stream);
        }
        Ok(head.status)
    }

    fn take_idle(&self, target: SocketAddr) -> Option<TcpStream> {
        let mut idle = self.idle.as_ref()?.lock();
        let streams = idle.get_mut(&target)?;
        while let Some(stream) = streams.pop() {
            // Any result except "would block" means that the server has closed the connection.
            let read = stream.try_read(&mut [0]);
            if read.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    status: u16,
    body: usize,
    keep_alive: bool,
}

/// Reads the head of a response, then counts the bytes of the body without keeping them.
async fn read_response(stream: &mut TcpStream) -> io::Result<Head> {
    let mut buffer = [0; 2048];
    let mut seen = Vec::new();
    loop {
        let count = read_some(stream, &mut buffer).await?;
        seen.extend_from_slice(&buffer[..count]);
        let Some(head) = parse_head(&seen)? else {
            continue;
        };
        let mut missing = (head.length + head.body).saturating_sub(seen.len());
        while missing > 0 {
            missing = missing.saturating_sub(read_some(stream, &mut buffer).await?);
        }
        return Ok(head);
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream.read(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() > HEAD_LIMIT => {
            return Err(io::Error::other("the head of the response is too long"));
        }
        httparse::Status::Partial => return Ok(None),
    };
    let value = |name: &str| {
        let mut headers = response.headers.iter();
        let header = headers.find(|h| h.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(header.value).ok().map(str::trim)
    };
    let body = value("content-length").and_then(|text| text.parse().ok());
    Ok(Some(Head {
        length,
        status: response.code.unwrap_or_default(),
        body: body.ok_or_else(|| io::Error::other("the response has no content-length"))?,
        keep_alive: response.version == Some(1)
            && !value("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_has_status_length_and_connection_reuse() {
        let text = b"HTTP/1.1 200 \r\ncontent-length: 77\r\nconnection: keep-alive\r\n\r\n{";
        let head = Head {
            length: text.len() - 1,
            status: 200,
            body: 77,
            keep_alive: true,
        };
        assert_eq!(parse_head(text).unwrap(), Some(head));
        assert_eq!(parse_head(&text[..30]).unwrap(), None);
        let closing =
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let head = parse_head(closing).unwrap().unwrap();
        assert_eq!((head.status, head.keep_alive), (503, false));
    }

    #[test]
    fn a_response_without_a_length_or_without_http_is_an_error() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
