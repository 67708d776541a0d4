//! One port of the server, and the state that a failed request implies.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use pushscale_daemon::error::chain;
use pushscale_protocol::PortState;
use thiserror::Error;

use crate::connection::{Connection, Limits, RequestError, ServerResponse};

/// A valid `http://HOST:PORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortAddress {
    authority: String,
}

/// Why a text is not the address of a port. `Display` completes "it must be".
#[derive(Debug, Error)]
pub enum AddressError {
    /// TLS on TorchServe's ports is not supported.
    #[error("http on loopback: https is not supported for TorchServe's ports")]
    Https,
    /// Any other error.
    #[error("http://HOST:PORT")]
    Other,
}

impl std::str::FromStr for PortAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri: Uri = text.parse().map_err(|_| AddressError::Other)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(AddressError::Https),
            _ => return Err(AddressError::Other),
        }
        let authority = uri.authority().ok_or(AddressError::Other)?;
        let bare = authority.port_u16().is_some() && !authority.as_str().contains('@');
        if !bare || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(AddressError::Other);
        }
        Ok(Self {
            authority: authority.to_string(),
        })
    }
}

/// One port of the server.
#[derive(Debug)]
pub(super) struct Port {
    connection: Connection<String>,
    succeeded: u64,
}

impl Port {
    pub(super) fn new(address: &PortAddress, time: Duration, bytes: usize) -> Self {
        let host = HeaderValue::from_str(&address.authority)
            .unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        Self {
            connection: Connection::new(address.authority.clone(), host, Limits { time, bytes }),
            succeeded: 0,
        }
    }

    /// The number of responses with status 200.
    pub(super) fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// Sets the timeout of the next responses.
    pub(super) fn set_timeout(&mut self, time: Duration) {
        self.connection.set_timeout(time);
    }

    /// Requests `path` and returns the body.
    ///
    /// # Errors
    /// The state of the port, unless the response is a 200 with a body.
    pub(super) async fn get(
        &mut self,
        path: &str,
        token: Option<&HeaderValue>,
    ) -> Result<Vec<u8>, PortState> {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = path.parse().map_err(|_| PortState::Garbled)?;
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        match self.connection.send(request).await {
            Ok(response) => {
                self.succeeded += u64::from(response.status == StatusCode::OK);
                read(response)
            }
            Err(error) => {
                tracing::debug!(path, error = %chain(&error), "request failed");
                Err(match error {
                    RequestError::Unreachable(_) | RequestError::Untrusted(_) => PortState::Refused,
                    RequestError::TimedOut(_) => PortState::Frozen,
                    RequestError::TooLarge(_) => PortState::Garbled,
                    // Not an HTTP server, or one that exited during the response.
                    RequestError::Broken(error) if error.is_parse() => PortState::Garbled,
                    RequestError::Broken(_) => PortState::Refused,
                })
            }
        }
    }
}

fn read(response: ServerResponse) -> Result<Vec<u8>, PortState> {
    match response.status {
        StatusCode::OK if response.body.is_empty() => Err(PortState::Empty),
        StatusCode::OK => Ok(response.body),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PortState::Forbidden),
        // TorchServe responds to a missing token with 400 and this type.
        StatusCode::BAD_REQUEST
            if memchr::memmem::find(&response.body, b"InvalidKeyException").is_some() =>
        {
            Err(PortState::Forbidden)
        }
        _ => Err(PortState::Garbled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_only_a_host_and_a_port() {
        for valid in ["http://127.0.0.1:8082", "http://[::1]:8082/", "http://ts:1"] {
            assert!(valid.parse::<PortAddress>().is_ok(), "{valid}");
        }
        for invalid in [
            "",
            "127.0.0.1:8082",
            "http://127.0.0.1",
            "http://h:1/metrics",
            "http://u:p@h:1",
            "http://h:1?x",
            "ftp://h:1",
        ] {
            let error = invalid.parse::<PortAddress>().unwrap_err().to_string();
            assert_eq!(error, "http://HOST:PORT", "{invalid}");
        }
        let tls = "https://h:1".parse::<PortAddress>().unwrap_err();
        assert!(tls.to_string().contains("https is not supported"));
    }
}
