//! A server's certificate from a folder, as a mounted Secret has it: `tls.crt` and `tls.key`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ServerCertificate, TlsError};
use crate::readiness::Pending;

/// How often the folder is looked at. The kubelet brings a changed Secret within a minute or so; a certificate is
/// renewed days before it ends.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often until there is a first one: a server without certificate answers nobody.
const FIRST_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps `certificate` as the folder has it, for ever. `first` is given back with the first good one. A bad one is
/// told once, and the one before stays.
pub async fn follow(folder: PathBuf, certificate: ServerCertificate, first: Pending) {
    let mut first = Some(first);
    let mut shown = None;
    let mut told = None;
    loop {
        match read(&folder) {
            Ok(pair) if shown.as_ref() != Some(&pair) => {
                let what = folder.display().to_string();
                match certificate.set_pem(&what, &pair.chain, &pair.key) {
                    Ok(()) => {
                        tracing::info!(folder = what, "the certificate is in use");
                        first.take();
                        told = None;
                    }
                    Err(error) => tell(&mut told, &error),
                }
                // A bad one too: it is looked at again when it has changed.
                shown = Some(pair);
            }
            Ok(_) => {}
            Err(error) => tell(&mut told, &error),
        }
        let pause = match &first {
            Some(_) => FIRST_LOOK_EVERY,
            None => LOOK_EVERY,
        };
        tokio::time::sleep(pause).await;
    }
}

#[derive(PartialEq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

fn read(folder: &Path) -> Result<Pair, TlsError> {
    let read = |name| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
    };
    Ok(Pair {
        chain: read("tls.crt")?,
        key: read("tls.key")?,
    })
}

fn tell(told: &mut Option<String>, error: &TlsError) {
    let text = error.to_string();
    if told.as_ref() != Some(&text) {
        tracing::warn!(
            error = text,
            "the certificate cannot be used; the one before, if any, stays"
        );
        *told = Some(text);
    }
}
