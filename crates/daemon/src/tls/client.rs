//! Whom a client believes: a file of authorities, read again when it has changed.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{TlsError, provider};

/// A connection to a server that one of the authorities vouches for.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// One aggregator is one session; a client keeps those of a few.
const SESSIONS: usize = 16;

/// The authorities in a file, PEM. All clones share what was read.
#[derive(Clone, Debug)]
pub struct Authority {
    path: PathBuf,
    read: Arc<Mutex<Option<Read>>>,
}

#[derive(Debug)]
struct Read {
    pem: Vec<u8>,
    config: Arc<ClientConfig>,
}

impl Authority {
    /// The authorities in this file, which need not exist yet.
    pub fn in_file(path: PathBuf) -> Self {
        Self {
            path,
            read: Arc::default(),
        }
    }

    /// Makes sure that the server on this stream is `name`: a DNS name or an address.
    ///
    /// # Errors
    /// If the file cannot be read or has no certificate, or if the server is not believed.
    pub async fn open(&self, name: &str, stream: TcpStream) -> Result<ClientStream, TlsError> {
        let config = self.current()?;
        let refused = |source| TlsError::NotBelieved {
            name: name.to_owned(),
            source,
        };
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| refused(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        TlsConnector::from(config)
            .connect(server, stream)
            .await
            .map_err(refused)
    }

    /// By what the file holds at this moment. A connection is opened seldom, and the file has two kilobytes: looking
    /// at it each time is the simplest way to notice a rotation.
    fn current(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let pem = std::fs::read(&self.path).map_err(|source| TlsError::Read {
            path: self.path.clone(),
            source,
        })?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.as_ref().filter(|known| known.pem == pem) {
            return Ok(Arc::clone(&known.config));
        }
        let config = Arc::new(self.config(&pem)?);
        *read = Some(Read {
            pem,
            config: Arc::clone(&config),
        });
        Ok(config)
    }

    fn config(&self, pem: &[u8]) -> Result<ClientConfig, TlsError> {
        let what = || self.path.display().to_string();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|source| TlsError::Pem {
                what: what(),
                source,
            })?;
            roots
                .add(certificate)
                .map_err(|source| TlsError::Unusable {
                    what: what(),
                    source,
                })?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate { what: what() });
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Unusable {
                what: what(),
                source,
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}
