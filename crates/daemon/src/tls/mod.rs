//! TLS 1.3 on both sides. Certificates and authorities are renewed while the program runs; nothing is restarted.

mod certificate;
mod client;
mod folder;
mod stream;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use thiserror::Error;

pub use certificate::ServerCertificate;
pub use client::{Authority, ClientStream};
pub use folder::follow;
pub use stream::MaybeTls;

/// Why a certificate, a key or an authority cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds no certificate.
    #[error("{what}: there is no certificate in it; it must be PEM")]
    NoCertificate {
        /// A file's path, or what else it is.
        what: String,
    },
    /// It is not PEM, or no key.
    #[error("{what}: {source}")]
    Pem {
        /// A file's path, or what else it is.
        what: String,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The server is not the one that it should be, or does not speak TLS.
    #[error("the server is not believed to be {name}: {source}")]
    NotBelieved {
        /// Who it should be.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// Certificate and key do not belong together, or are of a kind that is not known here.
    #[error("{what}: {source}")]
    Unusable {
        /// A file's path, or what else it is.
        what: String,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// ring, as kube has it: one implementation in a program.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
