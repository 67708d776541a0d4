//! Invalid values are rejected with a message that names the key.

use pushscale_tests::charts::{CHARTS, Helm};
use serde_json::Value;

use crate::{cases, marked, read};

#[test]
fn invalid_values_are_rejected_with_their_path() {
    let Some(helm) = Helm::for_test() else { return };
    for chart in CHARTS {
        for case in cases("rejected", chart) {
            let text = read(&case);
            let values: Value = serde_saphyr::from_str(&text).unwrap();
            let case = case.display();
            let error = match helm.template(chart, &values) {
                Ok(_) => panic!("{case}: accepted"),
                Err(error) => error,
            };
            let expected = marked(&text, "error");
            assert!(
                !expected.is_empty(),
                "{case} does not contain the expected error"
            );
            for expected in expected {
                assert!(
                    error.contains(expected),
                    "{case}: not {expected:?} in:\n{error}"
                );
            }
        }
    }
}
