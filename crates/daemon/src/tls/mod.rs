//! TLS 1.3 for servers and clients. Certificates and CA bundles are reloaded while the program runs.

mod certificate;
mod client;
mod client_certificate;
mod directory;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

pub use certificate::ServerCertificate;
pub use client::{CaBundle, ClientStream};
pub use client_certificate::ClientCa;
pub use directory::watch_directory;

/// Why a certificate, a key or a CA bundle cannot be used, or a connection could not be opened with it.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum TlsError {
    #[error("failed to read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("no certificate in {origin}: it must be PEM")]
    NoCertificate {
        /// The path of the file, or another name for where the PEM is from.
        origin: String,
    },
    /// The content is not PEM, or the key is missing.
    #[error("invalid PEM in {origin}")]
    Pem {
        /// The path of the file, or another name for where the PEM is from.
        origin: String,
        source: rustls::pki_types::pem::Error,
    },
    /// The server does not have a certificate for this name from a trusted CA, or does not speak TLS.
    #[error("certificate verification failed for {name}")]
    Verification { name: String, source: io::Error },
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("unusable certificate or key in {origin}")]
    Unusable {
        /// The path of the file, or another name for where the PEM is from.
        origin: String,
        source: rustls::Error,
    },
}

/// Returns ring, which kube also uses, so that a program contains one implementation.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Parses trusted CAs from PEM. `origin` names the PEM in errors.
fn roots(origin: &str, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|source| TlsError::Pem {
            origin: origin.to_owned(),
            source,
        })?;
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable {
                origin: origin.to_owned(),
                source,
            })?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate {
            origin: origin.to_owned(),
        });
    }
    Ok(roots)
}
