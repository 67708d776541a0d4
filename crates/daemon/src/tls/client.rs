//! The CAs that a client trusts, in a file that is read again when it changes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{TlsError, provider, roots};

/// A connection to a server whose certificate was verified.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// TLS sessions kept for resumption: one per aggregator replica.
const SESSIONS: usize = 16;

/// A PEM file of trusted CAs. Clones share what was read.
#[derive(Clone, Debug)]
pub struct CaBundle {
    path: PathBuf,
    loaded: Arc<Mutex<Option<Loaded>>>,
}

#[derive(Debug)]
struct Loaded {
    pem: Vec<u8>,
    config: Arc<ClientConfig>,
}

impl CaBundle {
    /// Uses the CAs in this file, which need not exist yet.
    pub fn from_file(path: PathBuf) -> Self {
        Self {
            path,
            loaded: Arc::default(),
        }
    }

    /// Opens TLS on `stream` and verifies that the server is `name`, a DNS name or an IP address.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate, or if verification fails.
    pub async fn open(&self, name: &str, stream: TcpStream) -> Result<ClientStream, TlsError> {
        let config = self.current()?;
        let failed = |source| TlsError::Verification {
            name: name.to_owned(),
            source,
        };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        TlsConnector::from(config)
            .connect(server, stream)
            .await
            .map_err(failed)
    }

    /// Returns the configuration for the file's current content. Connections are opened rarely and the file has about
    /// 2 kB, so reading it each time is the simplest way to notice a rotation.
    fn current(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let pem = std::fs::read(&self.path).map_err(|source| TlsError::Read {
            path: self.path.clone(),
            source,
        })?;
        let mut loaded = self.loaded.lock();
        if let Some(known) = loaded.as_ref().filter(|known| known.pem == pem) {
            return Ok(Arc::clone(&known.config));
        }
        let config = Arc::new(self.config(&pem)?);
        *loaded = Some(Loaded {
            pem,
            config: Arc::clone(&config),
        });
        Ok(config)
    }

    fn config(&self, pem: &[u8]) -> Result<ClientConfig, TlsError> {
        let origin = self.path.display().to_string();
        let roots = roots(&origin, pem)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Unusable { origin, source })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}
