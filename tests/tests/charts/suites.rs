//! Helm's own checks, and the charts' own suites by helm-unittest.

use pushscale_tests::charts::{CHARTS, Helm};

#[test]
fn helm_finds_nothing_wrong_with_the_charts() {
    let Some(helm) = Helm::for_test() else { return };
    for chart in CHARTS {
        helm.lint(chart).unwrap_or_else(|said| panic!("{said}"));
    }
}

#[test]
fn the_suites_of_the_charts_pass() {
    let Some(helm) = Helm::for_test() else { return };
    for chart in CHARTS {
        let said = helm.unittest(chart).unwrap_or_else(|said| panic!("{said}"));
        assert!(
            said.contains("0 failed") || said.contains("passed"),
            "{said}"
        );
    }
}
