//! Client certificates: requested during the handshake, verified for each request.
//!
//! Probes have no certificate, and the CA can change while a connection is open. So a handshake accepts any certificate
//! whose key the client has, and the server verifies its issuer when it needs to know who the client is.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::{TlsError, provider, roots};

/// Requests a client certificate, and accepts any or none. It only proves that the client has the key.
#[derive(Debug)]
pub(super) struct AnyClientCertificate(WebPkiSupportedAlgorithms);

impl AnyClientCertificate {
    pub(super) fn new() -> Self {
        Self(provider().signature_verification_algorithms)
    }
}

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// CAs that sign client certificates.
#[derive(Clone)]
pub struct ClientCa(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for ClientCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCa")
    }
}

impl ClientCa {
    /// Parses CAs from PEM. `origin` names the PEM in errors.
    ///
    /// # Errors
    /// If there is no certificate, or one cannot be used.
    pub fn from_pem(origin: &str, pem: &[u8]) -> Result<Self, TlsError> {
        let roots = Arc::new(roots(origin, pem)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        // The other errors are about revocation lists, of which there are none.
        let verifier = verifier.map_err(|_| TlsError::NoCertificate {
            origin: origin.to_owned(),
        })?;
        Ok(Self(verifier))
    }

    /// Verifies that a client's certificate, the first of the chain, is valid now and signed by one of the CAs.
    ///
    /// # Errors
    /// If it is not, or the chain is empty.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        self.0
            .verify_client_cert(end_entity, intermediates, UnixTime::now())
            .map(|_verified| ())
    }
}
