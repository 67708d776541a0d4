//! `helm lint`, and the charts' helm-unittest suites.

use pushscale_tests::charts::{CHARTS, Helm};

#[test]
fn helm_lint_passes() {
    let Some(helm) = Helm::for_test() else { return };
    for chart in CHARTS {
        helm.lint(chart).unwrap_or_else(|output| panic!("{output}"));
    }
}

#[test]
fn the_helm_unittest_suites_pass() {
    let Some(helm) = Helm::for_test() else { return };
    for chart in CHARTS {
        let output = helm
            .unittest(chart)
            .unwrap_or_else(|output| panic!("{output}"));
        let tests = output.lines().find_map(|line| line.strip_prefix("Tests:"));
        let words: Vec<_> = tests.unwrap_or_default().split_whitespace().collect();
        let [passed, "passed,", total, "total"] = words[..] else {
            panic!("not all suites passed, or none was found: {output}");
        };
        assert_eq!(passed, total);
        assert!(passed.parse::<u32>().unwrap() >= 15, "{output}");
    }
}
