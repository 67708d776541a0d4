//! The certificate that a server shows, which may change at any time.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::{TlsError, provider};

/// The certificate that a server shows. All clones are the same one; until it is set, no handshake succeeds.
#[derive(Clone, Default)]
pub struct ServerCertificate(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for ServerCertificate {
    /// Says whether there is one, and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerCertificate")
            .field(&self.current().is_some())
            .finish()
    }
}

impl ServerCertificate {
    /// Shows this certificate (a chain in PEM) from the next handshake on. `what` is said if it cannot be used.
    ///
    /// # Errors
    /// If it is no certificate with its key; then the one before stays.
    pub fn set_pem(&self, what: &str, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let pem = |source| TlsError::Pem {
            what: what.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate {
                what: what.to_owned(),
            });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| {
            TlsError::Unusable {
                what: what.to_owned(),
                source,
            }
        })?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Takes connections with whatever certificate there is at that moment.
    ///
    /// # Errors
    /// If ring cannot do TLS 1.3, which it can.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Unusable {
                what: "TLS 1.3".to_owned(),
                source,
            })?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}
