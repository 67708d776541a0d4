//! Terminating pods lose no requests.

use std::thread;

use pushscale_tests::fleet::Fleet;
use pushscale_tests::repeated_scale_down::{ScaleDownReport, fleet_options, scale_down_repeatedly};

use crate::node;

#[test]
fn five_pods_terminate_under_load_without_lost_requests() {
    let Some(node) = node() else { return };
    let node = &node;
    // Whether a pod terminates with a request is a matter of chance, so rounds of five pods follow until one did.
    let rounds_until = |name: &str, drain: bool, hit: fn(&ScaleDownReport) -> bool| {
        let fleet = Fleet::create(node.cluster, node.torchserve, name, &fleet_options(drain));
        let mut reports = Vec::new();
        while reports.len() < 10 && !reports.last().is_some_and(hit) {
            reports.push(scale_down_repeatedly(node.cluster, &fleet, 5));
        }
        fleet.delete();
        reports
    };
    // A request that arrived during a drain shows that the pod terminated under load.
    let arrived = |report: &ScaleDownReport| {
        let drains = &report.drains;
        drains
            .iter()
            .any(|drain| drain.contains("the last request arrived"))
    };
    let lost = |report: &ScaleDownReport| report.loaded.count_lost() > 0;
    let (with, without) = thread::scope(|both| {
        let with = both.spawn(|| rounds_until("drained", true, arrived));
        let without = both.spawn(|| rounds_until("undrained", false, lost));
        (with.join().unwrap(), without.join().unwrap())
    });
    for report in &with {
        assert_eq!(report.loaded.count_lost(), 0, "{report:?}");
        assert_eq!(report.drains.len(), 5, "{report:?}");
        for drain in &report.drains {
            assert!(drain.starts_with("drained after "), "{report:?}");
        }
    }
    assert!(with.last().is_some_and(arrived), "{with:?}");
    // About a third of a request is lost per pod: that 50 pods lose none is less likely than one in a million.
    assert!(without.last().is_some_and(lost), "{without:?}");
}
