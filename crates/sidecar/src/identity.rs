//! The identity of the sidecar: its pod, and this process in it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use pushscale_protocol::{Pod, Push, Server, Sidecar, VERSION};
use pushscale_reading::Reading;
use tokio::time::Instant;

use crate::torchserve::PROFILE;

/// The sidecar's pod, and this process in it.
#[derive(Clone, Debug)]
pub struct Identity {
    namespace: String,
    name: String,
    uid: String,
    instance: u64,
}

/// A reading with its sequence number.
#[derive(Clone, Debug)]
pub struct SequencedReading {
    /// Counts the readings of this process, from 1.
    pub sequence: u64,
    /// When the server was scraped.
    pub scraped_at: Instant,
    /// The scrape interval, in seconds.
    pub interval_seconds: f64,
    /// Whether the pod is terminating.
    pub terminating: bool,
    /// The measurements.
    pub reading: Reading,
}

impl Identity {
    /// Identifies this process in the given pod.
    pub fn new(namespace: String, name: String, uid: String) -> Self {
        Self {
            namespace,
            name,
            uid,
            // The standard library seeds its hash maps with system randomness, which distinguishes processes without
            // another dependency.
            instance: RandomState::new().build_hasher().finish(),
        }
    }

    /// Builds the push message of a reading, with its current age.
    pub fn push<'a>(&'a self, sequenced: &'a SequencedReading) -> Push<'a> {
        let reading = &sequenced.reading;
        Push {
            version: VERSION,
            pod: Pod {
                namespace: self.namespace.as_str().into(),
                name: self.name.as_str().into(),
                uid: self.uid.as_str().into(),
            },
            sidecar: Sidecar {
                version: env!("CARGO_PKG_VERSION").into(),
                instance: self.instance,
            },
            sequence: sequenced.sequence,
            clock_seconds: reading.at.as_secs_f64(),
            age_seconds: sequenced.scraped_at.elapsed().as_secs_f64(),
            interval_seconds: sequenced.interval_seconds,
            terminating: sequenced.terminating,
            server: Server {
                profile: PROFILE.into(),
                state: reading.state,
                metrics_port: reading.metrics_port,
                management_port: reading.management_port,
                counter_epoch: reading.counter_epoch,
                succeeded_total: reading.server.succeeded,
                failed_total: reading.server.failed,
            },
            models: reading.models.clone(),
        }
    }
}
