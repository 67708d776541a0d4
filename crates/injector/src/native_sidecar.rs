//! Finds out, once at the start, whether the cluster has native sidecars.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backoff::{ExponentialBuilder, Retryable as _};
use kube::Client;
use pushscale_daemon::error::chain;
use pushscale_daemon::readiness::ReadinessLatch;
use thiserror::Error;

/// The first minor version of Kubernetes 1 with native sidecars enabled by default.
const SINCE: u32 = 29;

/// Whether the cluster has native sidecars, once known.
pub(crate) type NativeSidecar = Arc<OnceLock<bool>>;

#[derive(Debug, Error)]
enum VersionError {
    #[error("failed to read the version of the API server")]
    Request(#[source] kube::Error),
    #[error(
        "unknown version {major}.{minor} of the API server: set PUSHSCALE_INJECTOR_NATIVE_SIDECAR to true or false"
    )]
    Unknown { major: String, minor: String },
}

/// Asks the API server until it responds. The injector is not ready before: a sidecar of the wrong kind would stay in
/// its pod, while a pod without a sidecar is replaced at the next rollout.
pub(crate) async fn detect(
    client: Client,
    native_sidecar: NativeSidecar,
    version_known: ReadinessLatch,
) {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times();
    let detected = (|| has_native_sidecars(&client))
        .retry(backoff)
        .notify(|error: &VersionError, wait| {
            tracing::warn!(error = %chain(error), ?wait, "failed to detect native sidecars, retrying");
        });
    if let Ok(found) = detected.await {
        tracing::info!(native_sidecar = found, "native sidecars detected");
        native_sidecar.get_or_init(|| found);
        drop(version_known);
    }
}

async fn has_native_sidecars(client: &Client) -> Result<bool, VersionError> {
    let info = client
        .apiserver_version()
        .await
        .map_err(VersionError::Request)?;
    is_native(&info.major, &info.minor).ok_or(VersionError::Unknown {
        major: info.major,
        minor: info.minor,
    })
}

/// Some cloud providers append a plus to the minor version: `29+`.
fn is_native(major: &str, minor: &str) -> Option<bool> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    };
    Some((number(major)?, number(minor)?) >= (1, SINCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_are_native_since_kubernetes_1_29() {
        for (major, minor, expected) in [
            ("1", "28", Some(false)),
            ("1", "29", Some(true)),
            ("1", "29+", Some(true)),
            ("1", "37", Some(true)),
            ("2", "0", Some(true)),
            ("", "", None),
            ("1", "x", None),
        ] {
            assert_eq!(is_native(major, minor), expected, "{major}.{minor}");
        }
    }
}
