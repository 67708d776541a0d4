//! `algorithm: Ratio` against the recorded decisions of the real HorizontalPodAutoscaler, Kubernetes v1.37.2.
//!
//! `conformance/hpa-sample.jsonl` holds a case a line; `conformance/README.md` says what its fields mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod case;
mod replay;

use std::fs;
use std::path::Path;

use case::Case;
use replay::replay;

/// Where the HPA overflows, and what it does depends on the processor. Ours saturates: an overload that is too
/// large for its integers must not look like idleness.
const SAFER_THAN_THE_HPA: [&str; 4] = [
    "count-above-int32-becomes-zero-on-amd64",
    "count-above-two-to-the-32-becomes-zero-on-amd64",
    "count-above-int64-becomes-zero-on-amd64",
    "sum-of-samples-wraps-int64",
];

#[test]
fn ratio_decides_as_the_hpa_did_pass_by_pass() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/hpa-sample.jsonl");
    let text = fs::read_to_string(file).unwrap();
    let mut differences = Vec::new();
    let (mut cases, mut passes) = (0, 0);
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        cases += 1;
        passes += case.steps.len();
        let found = replay(&case);
        if SAFER_THAN_THE_HPA.contains(&case.name.as_str()) {
            assert!(
                found.is_some(),
                "{} no longer differs: take it off the list",
                case.name
            );
        } else if let Some(difference) = found {
            differences.push(difference);
        }
    }
    println!("{cases} cases, {passes} passes");
    assert!(
        differences.is_empty(),
        "{} of {cases} cases differ:\n{}",
        differences.len(),
        differences[..differences.len().min(10)].join("\n")
    );
    assert_eq!((cases, passes), (400, 4593));
}
