//! The certificate of a server, which can be replaced at any time.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::client_certificate::AnyClientCertificate;
use super::{TlsError, provider};

/// The certificate of a server. Clones share it. Handshakes fail until it is set.
#[derive(Clone, Default)]
pub struct ServerCertificate(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for ServerCertificate {
    /// Prints whether a certificate is set, and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerCertificate")
            .field(&self.current().is_some())
            .finish()
    }
}

impl ServerCertificate {
    /// Uses this PEM chain and key from the next handshake on. `origin` names them in errors.
    ///
    /// # Errors
    /// If the chain or the key is invalid, or they do not match. The previous certificate is kept.
    pub fn set_pem(&self, origin: &str, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let pem = |source| TlsError::Pem {
            origin: origin.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate {
                origin: origin.to_owned(),
            });
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(pem)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| {
            TlsError::Unusable {
                origin: origin.to_owned(),
                source,
            }
        })?;
        *self.0.write() = Some(Arc::new(certified));
        Ok(())
    }

    /// Returns an acceptor that uses the current certificate at each handshake.
    ///
    /// # Errors
    /// If the crypto provider does not support TLS 1.3; ring does.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        self.acceptor_with(WebPkiClientVerifier::no_client_auth())
    }

    /// Returns an acceptor that also requests a client certificate, and accepts any or none.
    ///
    /// # Errors
    /// If the crypto provider does not support TLS 1.3; ring does.
    pub(crate) fn acceptor_with_client_certificates(&self) -> Result<TlsAcceptor, TlsError> {
        self.acceptor_with(Arc::new(AnyClientCertificate::new()))
    }

    fn acceptor_with(
        &self,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<TlsAcceptor, TlsError> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| TlsError::Unusable {
                origin: "the crypto provider".to_owned(),
                source,
            })?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}
