//! The checks, one file each.

mod aggregator;
mod autoscalers;
mod ca;
mod clock;
mod conditions;
mod config;
mod network_policy;
mod pods;
mod requests;
mod sidecars;
mod target;
mod versions;

use super::finding::Finding;
use super::snapshot::{Snapshot, Subject};

/// A check of one PushScaler.
type Check = fn(&Snapshot, &Subject<'_>) -> Vec<Finding>;

/// The checks of each PushScaler, from the cause to the effect.
const CHECKS: [Check; 10] = [
    target::check,
    autoscalers::check,
    pods::check,
    sidecars::check,
    versions::check,
    config::check,
    requests::check,
    ca::check,
    network_policy::check,
    conditions::check,
];

/// Runs all checks: those of the installation, and those of each PushScaler.
pub fn diagnose(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = aggregator::check(snapshot);
    findings.extend(clock::check(snapshot));
    let subjects = snapshot.subjects();
    if subjects.is_empty() {
        findings.push(Finding::skipped(
            "pushscalers",
            "there is no PushScaler here; -A checks all namespaces",
        ));
    }
    for subject in &subjects {
        for check in CHECKS {
            findings.extend(check(snapshot, subject));
        }
    }
    findings
}
