//! A candidate for the fuzz target of the Lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::election::{Election, LEASE_DURATION};
use super::record::LeaseRecord;

/// A candidate of an election, without an API server.
#[derive(Debug)]
pub struct LeaseCandidate {
    election: Election,
    start: Instant,
}

impl LeaseCandidate {
    /// How long another candidate's Lease must not have changed before this one takes it.
    pub const LEASE_DURATION: Duration = LEASE_DURATION;

    /// Creates a candidate with this identity.
    #[must_use]
    pub fn new(identity: &str) -> Self {
        Self {
            election: Election::new(identity.to_owned()),
            start: Instant::now(),
        }
    }

    /// Reads the Lease from JSON at a time since the start; `None` if there is no Lease. Returns the Lease that the
    /// candidate writes, as JSON, if it is the holder or becomes it.
    ///
    /// # Errors
    /// The JSON is not a Lease.
    pub fn attempt(
        &mut self,
        at: Duration,
        lease: Option<&str>,
    ) -> serde_json::Result<Option<String>> {
        let now = self.start + at;
        match lease {
            Some(json) => {
                let lease = serde_json::from_str::<Lease>(json)?;
                self.election.observe(now, LeaseRecord::from(&lease));
            }
            None => self.election.observe_absence(now),
        }
        let next = self.election.next(now, Timestamp::now());
        next.as_ref().map(to_json).transpose()
    }

    /// Returns the Lease that the candidate writes to resign, as JSON, if it is the holder.
    ///
    /// # Errors
    /// The Lease cannot be written as JSON.
    pub fn resign(&self) -> serde_json::Result<Option<String>> {
        self.election
            .resignation()
            .as_ref()
            .map(to_json)
            .transpose()
    }
}

fn to_json(record: &LeaseRecord) -> serde_json::Result<String> {
    serde_json::to_string(&record.to_lease("lease", 10, Timestamp::now()))
}
