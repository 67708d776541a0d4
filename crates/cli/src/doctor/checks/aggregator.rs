//! Whether an aggregator runs, is ready and leads.

use crate::cluster::{holder, is_ready};
use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{AGGREGATOR, Snapshot, containers, pod_name};

const CHECK: &str = "aggregator";

pub(super) fn check(snapshot: &Snapshot) -> Vec<Finding> {
    if let Some(reason) = snapshot.unread(AGGREGATOR) {
        return vec![Finding::skipped(
            CHECK,
            format!(
                "its pods could not be read: {reason}; --pushscale-namespace names the only namespace to search"
            ),
        )];
    }
    let pods = &snapshot.aggregators;
    let Some(first) = pods.first() else {
        return vec![Finding::wrong(
            CHECK,
            "no pod has the labels of the aggregator",
            "no decisions are made",
            "install Pushscale (docs/INSTALL.md), or name its namespace with --pushscale-namespace",
        )];
    };
    let namespace = first.metadata.namespace.as_deref().unwrap_or_default();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let seen = format!("{namespace}: {ready} of {} pods ready", pods.len());
    let mut findings = Vec::new();
    findings.push(if ready == pods.len() {
        Finding::good(CHECK, seen)
    } else {
        let unready = pods.iter().filter(|pod| !is_ready(pod)).map(pod_name);
        let unready = unready.collect::<Vec<_>>().join(", ");
        Finding::wrong(
            CHECK,
            seen,
            format!("not ready: {unready}; an aggregator is ready once 80% of the pods report, or after 20 s"),
            format!("kubectl -n {namespace} describe pod, and kubectl -n {namespace} logs"),
        )
    });
    findings.push(leader(snapshot, namespace));
    findings
}

fn leader(snapshot: &Snapshot, namespace: &str) -> Finding {
    const CHECK: &str = "leader";
    if let Some(reason) = snapshot.unread("Lease") {
        return Finding::skipped(
            CHECK,
            format!("the Lease in {namespace} could not be read: {reason}"),
        );
    }
    let fix = format!(
        "see the logs of the aggregators in namespace {namespace}: grep \"leader election failed\""
    );
    let Some(lease) = &snapshot.lease else {
        let mut containers = snapshot.aggregators.iter().flat_map(containers);
        let elect = containers.any(|container| {
            let mut variables = container.env.iter().flatten();
            variables.any(|variable| variable.name == "PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE")
        });
        return match (elect, snapshot.aggregators.len()) {
            (true, _) => Finding::wrong(
                CHECK,
                format!("there is no Lease in namespace {namespace}"),
                "no aggregator writes replicas",
                fix,
            ),
            (false, 1) => Finding::good(CHECK, "one aggregator without a Lease"),
            (false, count) => {
                Finding::skipped(CHECK, format!("{count} aggregators without a Lease"))
            }
        };
    };
    let name = lease.metadata.name.as_deref().unwrap_or_default();
    let Some(holder) = holder(lease) else {
        let seen = format!("Lease {namespace}/{name} has no holder");
        return Finding::wrong(CHECK, seen, "no aggregator writes replicas", fix);
    };
    let seen = format!("Lease {namespace}/{name}: {holder}");
    let exists = snapshot
        .aggregators
        .iter()
        .any(|pod| pod_name(pod) == holder);
    // If it was renewed meanwhile, the clocks differ: `clock` reports that.
    let is_expired = snapshot.lease_looks_expired() && !snapshot.lease_was_renewed();
    match snapshot.lease_age() {
        Some(age) if is_expired => Finding::wrong(
            CHECK,
            format!("{seen}, renewed {age} s ago"),
            "the leader does not renew its Lease, so no replicas are written",
            fix,
        ),
        _ if !exists => Finding::wrong(
            CHECK,
            seen,
            "the leader is not one of the aggregator's pods: two installations may share a Lease",
            fix,
        ),
        _ => Finding::good(CHECK, seen),
    }
}
