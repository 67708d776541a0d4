//! Who speaks: the pod, and this process in it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use pushscale_protocol::{Pod, Push, Server, Sidecar, VERSION};

use crate::reading::Reading;
use crate::torchserve::PROFILE;

/// The pod that the sidecar is in, and the process that it is.
#[derive(Clone, Debug)]
pub struct Identity {
    namespace: String,
    name: String,
    uid: String,
    instance: u64,
}

/// A reading with its number.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// From 1.
    pub sequence: u64,
    /// How often the server is looked at, in seconds.
    pub interval_seconds: f64,
    /// The pod is ending.
    pub leaving: bool,
    /// What was read.
    pub reading: Reading,
}

impl Identity {
    /// This process in that pod.
    pub fn new(namespace: String, name: String, uid: String) -> Self {
        Self {
            namespace,
            name,
            uid,
            // The standard library seeds its hash maps from the system's randomness: enough for telling
            // two processes apart, and no crate more in the pod.
            instance: RandomState::new().build_hasher().finish(),
        }
    }

    /// The message that says this reading, `age_seconds` after it was taken.
    pub fn push<'a>(&'a self, numbered: &'a Numbered, age_seconds: f64) -> Push<'a> {
        let reading = &numbered.reading;
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
            sequence: numbered.sequence,
            clock_seconds: reading.at.as_secs_f64(),
            age_seconds,
            interval_seconds: numbered.interval_seconds,
            leaving: numbered.leaving,
            server: Server {
                profile: PROFILE.into(),
                state: reading.state,
                metrics_port: reading.metrics_port,
                management_port: reading.management_port,
                counter_epoch: reading.counter_epoch,
                succeeded_total: reading.host.succeeded,
                failed_total: reading.host.failed,
            },
            models: reading.models.clone(),
        }
    }
}
