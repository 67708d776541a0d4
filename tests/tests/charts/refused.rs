//! Wrong values are refused, by words that name the key.

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
            let said = match helm.template(chart, &values) {
                Ok(_) => panic!("{case}: it was taken"),
                Err(said) => said,
            };
            let expected = marked(&text, "error");
            assert!(!expected.is_empty(), "{case} does not say what is said");
            for expected in expected {
                assert!(
                    said.contains(expected),
                    "{case}: not {expected:?} in:\n{said}"
                );
            }
        }
    }
}
