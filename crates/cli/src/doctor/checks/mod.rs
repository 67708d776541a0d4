//! The checks, one file each.

mod aggregator;
mod autoscalers;
mod ca;
mod clock;
mod conditions;
mod config;
mod external_metrics;
mod network_policy;
mod pods;
mod requests;
mod sidecars;
mod target;
mod versions;

use super::finding::Finding;
use super::snapshot::{AGGREGATOR, Snapshot, Subject};

/// A check of one PushScaler.
type Check = fn(&Snapshot, &Subject<'_>) -> Vec<Finding>;

/// The checks of each PushScaler, from the cause to the effect, with the kinds without which they are skipped. What the
/// user may not read would look as if it did not exist.
const CHECKS: [(&str, &[&str], Check); 10] = [
    (target::CHECK, &[], target::check),
    (autoscalers::CHECK, &[], autoscalers::check),
    (pods::CHECK, &["Pod"], pods::check),
    (sidecars::CHECK, &["Pod"], sidecars::check),
    (versions::CHECK, &["Pod", AGGREGATOR], versions::check),
    (config::CHECK, &["Pod", "ConfigMap"], config::check),
    (requests::CHECK, &["Pod"], requests::check),
    (ca::CHECK, &["Pod"], ca::check),
    (
        network_policy::CHECK,
        &["Pod", "NetworkPolicy", "Namespace", AGGREGATOR],
        network_policy::check,
    ),
    (conditions::CHECK, &[], conditions::check),
];

/// Runs all checks: those of the installation, and those of each PushScaler.
pub fn diagnose(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = aggregator::check(snapshot);
    findings.extend(clock::check(snapshot));
    findings.extend(external_metrics::check(snapshot));
    let subjects = snapshot.subjects();
    if subjects.is_empty() {
        findings.push(Finding::skipped(
            "pushscalers",
            "there is no PushScaler here; -A checks all namespaces",
        ));
    }
    for subject in &subjects {
        for (name, needs, check) in CHECKS {
            match snapshot.first_unread(needs) {
                Some((kind, reason)) => findings.push(Finding::skipped(
                    name,
                    format!("{}: {kind} could not be read: {reason}", subject.name),
                )),
                None => findings.extend(check(snapshot, subject)),
            }
        }
    }
    findings
}
