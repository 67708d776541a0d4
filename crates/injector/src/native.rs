//! Does the cluster have native sidecars? Asked once, at the start.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backoff::{ExponentialBuilder, Retryable as _};
use kube::Client;
use pushscale_daemon::readiness::ReadinessLatch;
use thiserror::Error;

/// Since this minor version of Kubernetes 1 native sidecars are on by themselves.
const SINCE: u32 = 29;

/// Known, or not yet.
pub(crate) type Native = Arc<OnceLock<bool>>;

#[derive(Debug, Error)]
enum Unknown {
    #[error("the API server does not tell its version")]
    Unanswered(#[source] kube::Error),
    #[error(
        "the API server calls its version {major}.{minor}: set PUSHSCALE_INJECTOR_NATIVE_SIDECAR to true or false"
    )]
    Unreadable { major: String, minor: String },
}

/// Asks the API server until it answers. Until then the injector is not ready: a sidecar of the wrong kind would
/// stay in its pod for the pod's life, while a pod without one is let in and replaced at the next rollout.
pub(crate) async fn ask(client: Client, native: Native, pending: ReadinessLatch) {
    let patient = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times();
    let asked = (|| version(&client))
        .retry(patient)
        .notify(|error: &Unknown, wait| {
            tracing::warn!(%error, ?wait, "Kubernetes' version is not known yet");
        });
    if let Ok(found) = asked.await {
        tracing::info!(native_sidecar = found, "Kubernetes' version is known");
        native.get_or_init(|| found);
        drop(pending);
    }
}

async fn version(client: &Client) -> Result<bool, Unknown> {
    let info = client
        .apiserver_version()
        .await
        .map_err(Unknown::Unanswered)?;
    is_native(&info.major, &info.minor).ok_or(Unknown::Unreadable {
        major: info.major,
        minor: info.minor,
    })
}

/// Some clouds call their minor version `29+`.
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
    fn native_since_1_29() {
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
