//! The fields of a Lease that an election uses.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

/// The state of a Lease. Two states are equal if the Lease was not written in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    /// The leader; `None` if it resigned.
    pub(super) holder: Option<String>,
    /// `metadata.resourceVersion`; `None` if the Lease does not exist yet.
    pub(super) version: Option<String>,
    /// When the holder acquired the Lease, by its own clock.
    pub(super) acquired: Option<Timestamp>,
    /// How many times the holder changed.
    pub(super) transitions: i32,
}

impl From<&Lease> for LeaseRecord {
    fn from(lease: &Lease) -> Self {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.clone());
        Self {
            holder: holder.filter(|holder| !holder.is_empty()),
            version: lease.metadata.resource_version.clone(),
            acquired: spec
                .and_then(|spec| spec.acquire_time.as_ref())
                .map(|time| time.0),
            transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
        }
    }
}

impl LeaseRecord {
    /// Returns the Lease to write. The times are for people: no candidate reads them.
    pub(super) fn to_lease(&self, name: &str, seconds: i32, now: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: self.version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.holder.clone().unwrap_or_default()),
                lease_duration_seconds: Some(seconds),
                acquire_time: self.acquired.map(MicroTime),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(self.transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}
