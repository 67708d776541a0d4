//! The Lease of the leader election. The input is a list of what a candidate reads: a number of seconds later, and the
//! Lease or `null`. The candidate never takes another one's Lease that has changed in the last ten seconds, replaces
//! only the version that it has read, and can read what it writes.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_aggregator::fuzzing::LeaseCandidate;
use pushscale_fuzz::within_memory;
use serde_json::Value;

const US: &str = "aggregator-1_18c";

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(steps) = serde_json::from_slice::<Vec<(f64, Value)>>(data) else {
        return;
    };
    let mut candidate = LeaseCandidate::new(US);
    let mut at = Duration::ZERO;
    // The version of the last Lease, and since when it has been the last.
    let mut seen: Option<(Value, Duration)> = None;
    for (later, lease) in steps {
        at += Duration::from_secs_f64(later.clamp(0.0, 3600.0));
        let json = lease.to_string();
        let read = (!lease.is_null()).then_some(json.as_str());
        let attempt = || candidate.attempt(at, read);
        let Ok(written) = within_memory(json.as_bytes(), 64, attempt) else {
            continue;
        };
        let version = lease["metadata"]["resourceVersion"].clone();
        if seen.as_ref().is_none_or(|(seen, _)| *seen != version) && read.is_some() {
            seen = Some((version.clone(), at));
        }
        // serde also reads a struct from a list.
        let is_readable = lease["metadata"].is_object() && lease["spec"].is_object();
        let holder = lease["spec"]["holderIdentity"].as_str();
        if let Some(written) = &written {
            assert_written(written, US);
            let written: Value = serde_json::from_str(written).expect("it is JSON");
            if read.is_none() {
                assert_eq!(written["metadata"]["resourceVersion"], Value::Null);
            } else if is_readable {
                assert_eq!(written["metadata"]["resourceVersion"], version);
                let is_ours = [None, Some(""), Some(US)].contains(&holder);
                let unchanged = seen.as_ref().map(|(_, since)| at - *since);
                assert!(
                    is_ours || unchanged >= Some(LeaseCandidate::LEASE_DURATION),
                    "took a Lease that changed {unchanged:?} ago"
                );
            }
        } else if is_readable {
            assert!(holder.is_some_and(|holder| !holder.is_empty() && holder != US));
        }
        let resignation = candidate.resign().expect("it is JSON");
        if let Some(resignation) = &resignation {
            assert_written(resignation, "");
        }
        if is_readable {
            assert_eq!(resignation.is_some(), holder == Some(US));
        }
    }
});

/// Asserts that another candidate can read a Lease, whose holder is `holder`.
fn assert_written(json: &str, holder: &str) {
    let lease: Value = serde_json::from_str(json).expect("it is JSON");
    assert_eq!(lease["spec"]["holderIdentity"], holder);
    let mut reader = LeaseCandidate::new("reader");
    let attempt = reader.attempt(Duration::ZERO, Some(json));
    let taken = attempt.expect("it is a Lease").is_some();
    assert_eq!(taken, holder.is_empty());
}
