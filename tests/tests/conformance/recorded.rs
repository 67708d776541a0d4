//! Pushscale decides as recorded.

use pushscale_tests::conformance::{SAFER_THAN_THE_HPA, replay};

use super::{SAMPLE, SEVERAL, cases};

#[test]
fn one_metric_decides_like_the_hpa_sync_by_sync() {
    assert_eq!(decided_alike(SAMPLE), (400, 4593));
}

#[test]
fn several_metrics_decide_like_the_hpa_sync_by_sync() {
    assert_eq!(decided_alike(SEVERAL), (56, 81));
}

/// Checks the cases of a file, and returns the number of cases and syncs.
fn decided_alike(file: &str) -> (usize, usize) {
    let cases = cases(file);
    let mut differences = Vec::new();
    for case in &cases {
        let found = replay(case).unwrap();
        if SAFER_THAN_THE_HPA.contains(&case.name.as_str()) {
            assert!(
                found.is_some(),
                "{} no longer differs: take it off the list",
                case.name
            );
        } else if let Some(difference) = found {
            differences.push(difference.to_string());
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} cases differ:\n{}",
        differences.len(),
        cases.len(),
        differences[..differences.len().min(10)].join("\n")
    );
    let passes = cases.iter().map(|case| case.steps.len()).sum();
    (cases.len(), passes)
}
