//! A server certificate from a directory, laid out like a mounted Secret: `tls.crt` and `tls.key`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ServerCertificate, TlsError};
use crate::error::chain;
use crate::readiness::ReadinessLatch;

/// How often the directory is read. The kubelet updates a mounted Secret within about a minute, and certificates are
/// renewed days before they expire.
const INTERVAL: Duration = Duration::from_secs(10);

/// How often the directory is read until there is a certificate; without one, every handshake fails.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps `certificate` up to date with `directory`, and drops `latch` with the first valid one. Never returns. An
/// invalid certificate is logged once, and the previous one is kept.
pub async fn watch_directory(
    directory: PathBuf,
    certificate: ServerCertificate,
    latch: ReadinessLatch,
) {
    let mut latch = Some(latch);
    let mut loaded = None;
    let mut logged = None;
    loop {
        match read(&directory) {
            Ok(pair) if loaded.as_ref() != Some(&pair) => {
                let origin = directory.display().to_string();
                match certificate.set_pem(&origin, &pair.chain, &pair.key) {
                    Ok(()) => {
                        tracing::info!(directory = origin, "certificate loaded");
                        latch.take();
                        logged = None;
                    }
                    Err(error) => log_once(&mut logged, &error),
                }
                // An invalid one is not parsed again until it changes.
                loaded = Some(pair);
            }
            Ok(_) => {}
            Err(error) => log_once(&mut logged, &error),
        }
        let interval = match &latch {
            Some(_) => FIRST_INTERVAL,
            None => INTERVAL,
        };
        tokio::time::sleep(interval).await;
    }
}

#[derive(PartialEq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

fn read(directory: &Path) -> Result<Pair, TlsError> {
    let read = |name| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
    };
    Ok(Pair {
        chain: read("tls.crt")?,
        key: read("tls.key")?,
    })
}

fn log_once(logged: &mut Option<String>, error: &TlsError) {
    let error = chain(error).to_string();
    if logged.as_ref() != Some(&error) {
        tracing::warn!(error, "keeping the previous certificate: new one rejected");
        *logged = Some(error);
    }
}
