//! Whether sidecars and aggregator are of one version, by the tags of their images.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Container;

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, containers, sidecar};

pub(super) const CHECK: &str = "versions";

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let sidecars = subject.pods.iter().filter_map(|pod| sidecar(pod));
    let sidecars: BTreeSet<_> = sidecars.filter_map(tag).collect();
    let aggregators = snapshot.aggregators.iter().flat_map(containers);
    let aggregators: BTreeSet<_> = aggregators
        .filter(|container| container.name == "aggregator")
        .filter_map(tag)
        .collect();
    if sidecars.is_empty() || aggregators.is_empty() {
        return Vec::new();
    }
    let list = |tags: &BTreeSet<&str>| tags.iter().copied().collect::<Vec<_>>().join(", ");
    let seen = format!(
        "{}: sidecars {}, aggregator {}",
        subject.name,
        list(&sidecars),
        list(&aggregators)
    );
    vec![if sidecars == aggregators && sidecars.len() == 1 {
        Finding::good(CHECK, seen)
    } else {
        Finding::wrong(
            CHECK,
            seen,
            "the versions differ: pushes of another protocol version are rejected",
            format!(
                "upgrade the chart, and then restart the pods: kubectl -n {} rollout restart {}",
                subject.namespace,
                subject.target_name()
            ),
        )
    }]
}

/// Returns the tag of the container's image; `None` for a digest.
fn tag(container: &Container) -> Option<&str> {
    let image = container.image.as_deref()?;
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next()?;
    match last.split_once(':') {
        Some((_, tag)) => Some(tag),
        None if digest.is_some() => None,
        None => Some("latest"),
    }
}
