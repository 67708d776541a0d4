//! Whether the pods have resource requests.

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, torchserve};

pub(super) const CHECK: &str = "resource-requests";

pub(super) fn check(_: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let Some(container) = subject.pods.first().and_then(|pod| torchserve(pod)) else {
        return Vec::new();
    };
    let resources = container.resources.as_ref();
    let has = |resource: &str| {
        resources.is_some_and(|resources| {
            // A limit without a request is also the request.
            let all = [&resources.requests, &resources.limits];
            all.into_iter()
                .flatten()
                .any(|found| found.contains_key(resource))
        })
    };
    let missing: Vec<_> = ["cpu", "memory"]
        .into_iter()
        .filter(|resource| !has(resource))
        .collect();
    let seen = format!("{}: container {}", subject.name, container.name);
    vec![if missing.is_empty() {
        Finding::good(CHECK, format!("{seen} requests cpu and memory"))
    } else {
        Finding::wrong(
            CHECK,
            format!("{seen} has no request for {}", missing.join(" and ")),
            "the scheduler puts any number of pods on one node, where more replicas do not serve more requests",
            "set resources.requests in the pod template to what one pod needs under load",
        )
    }]
}
