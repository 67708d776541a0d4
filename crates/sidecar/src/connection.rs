//! One keep-alive HTTP/1.1 connection, with a size limit and a timeout for every response.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pushscale_daemon::tls::{CaBundle, ClientStream, TlsError};
use thiserror::Error;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::either::Either;

/// A connection that is opened on demand and kept open.
#[derive(Debug)]
pub(crate) struct Connection<A> {
    address: A,
    host: HeaderValue,
    limits: Limits,
    peer: Option<Peer>,
    open: Option<Open>,
}

/// The expected server, and the CAs that its certificate must be from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) ca_bundle: CaBundle,
}

/// Limits of one response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The timeout from connecting to the last byte.
    pub(crate) time: Duration,
    /// The maximum size of the body, in bytes.
    pub(crate) bytes: usize,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct ServerResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Why a request has no response.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    #[error("failed to connect")]
    Unreachable(#[source] io::Error),
    #[error(transparent)]
    Untrusted(#[from] TlsError),
    #[error("no response within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("response larger than {0} bytes")]
    TooLarge(usize),
    #[error("connection failed")]
    Broken(#[source] hyper::Error),
}

#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        // An abandoned response must not continue to arrive.
        self.driver.abort();
    }
}

impl<A: ToSocketAddrs + Clone> Connection<A> {
    pub(crate) fn new(address: A, host: HeaderValue, limits: Limits) -> Self {
        Self {
            address,
            host,
            limits,
            peer: None,
            open: None,
        }
    }

    /// Uses TLS and requires this peer, if there is one.
    pub(crate) fn with_peer(mut self, peer: Option<Peer>) -> Self {
        self.peer = peer;
        self
    }

    /// Sets the timeout of the next responses.
    pub(crate) fn set_timeout(&mut self, time: Duration) {
        self.limits.time = time;
    }

    /// Sends a request and reads the whole response. After a failure the next call opens a new connection.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<ServerResponse, RequestError> {
        self.send_with(|_| request.clone()).await
    }

    /// The same with a request that depends on whether it is the first one of its connection.
    pub(crate) async fn send_with(
        &mut self,
        request: impl Fn(bool) -> Request<Full<Bytes>> + Send + Sync,
    ) -> Result<ServerResponse, RequestError> {
        let host = self.host.clone();
        let request = move |is_first| {
            let mut request = request(is_first);
            request.headers_mut().insert(HOST, host.clone());
            request
        };
        let time = self.limits.time;
        // Taken out, so that a failure or a cancellation leaves no half-read connection behind.
        let open = self.open.take();
        let (response, open) = timeout(time, self.exchange(open, &request))
            .await
            .map_err(|_| RequestError::TimedOut(time))??;
        self.open = Some(open);
        Ok(response)
    }

    async fn exchange(
        &self,
        kept: Option<Open>,
        request: &(impl Fn(bool) -> Request<Full<Bytes>> + Send + Sync),
    ) -> Result<(ServerResponse, Open), RequestError> {
        if let Some(mut open) = kept {
            match self.exchange_on(&mut open, request(false)).await {
                // The peer may close an idle connection at any time.
                Err(RequestError::Broken(error)) if is_closed_while_idle(&error) => {}
                outcome => return outcome.map(|response| (response, open)),
            }
        }
        let mut open = self.connect().await?;
        let response = self.exchange_on(&mut open, request(true)).await?;
        Ok((response, open))
    }

    async fn connect(&self) -> Result<Open, RequestError> {
        let stream = TcpStream::connect(self.address.clone())
            .await
            .map_err(RequestError::Unreachable)?;
        stream
            .set_nodelay(true)
            .map_err(RequestError::Unreachable)?;
        // The TLS stream is ten times as large, hence the box.
        let stream: Either<TcpStream, Box<ClientStream>> = match &self.peer {
            Some(peer) => {
                let opened = peer.ca_bundle.open(&peer.name, stream).await?;
                Either::Right(Box::new(opened))
            }
            None => Either::Left(stream),
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(RequestError::Broken)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Open {
            sender,
            driver: driver.abort_handle(),
        })
    }

    async fn exchange_on(
        &self,
        open: &mut Open,
        request: Request<Full<Bytes>>,
    ) -> Result<ServerResponse, RequestError> {
        open.sender.ready().await.map_err(RequestError::Broken)?;
        let response = open
            .sender
            .send_request(request)
            .await
            .map_err(RequestError::Broken)?;
        let status = response.status();
        let body = self.read_body(response).await?;
        Ok(ServerResponse { status, body })
    }

    async fn read_body(&self, response: Response<Incoming>) -> Result<Vec<u8>, RequestError> {
        let most = self.limits.bytes;
        let announced = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > most) {
            return Err(RequestError::TooLarge(most));
        }
        let mut body = Vec::with_capacity(announced.unwrap_or_default());
        let mut incoming = response.into_body();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(RequestError::Broken)?.into_data() {
                if body.len() + data.len() > most {
                    return Err(RequestError::TooLarge(most));
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(body)
    }
}

fn is_closed_while_idle(error: &hyper::Error) -> bool {
    error.is_closed() || error.is_canceled() || error.is_incomplete_message()
}
