//! Whether the target exists and can be scaled.

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject};

pub(super) const CHECK: &str = "target";

pub(super) fn check(_: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let name = subject.target_name();
    let seen = format!("{}: scale of {name}", subject.name);
    let Some(target) = subject.target else {
        return vec![Finding::skipped(CHECK, format!("{seen} was not read"))];
    };
    if let Some(problem) = &target.problem {
        return vec![Finding::wrong(
            CHECK,
            seen,
            problem.clone(),
            "correct spec.scaleTargetRef (apiVersion, kind, name): it must name an object with a scale subresource in the PushScaler's namespace",
        )];
    }
    if let Some(failure) = &target.failure {
        return vec![Finding::wrong(
            CHECK,
            seen,
            failure.clone(),
            "kubectl get apiservices names APIs that are not available; the API server's log has the reason",
        )];
    }
    let replicas = target.replicas.unwrap_or_default();
    let pods = target.pods.len();
    if let (Some(reason), None | Some(1..)) = (&target.unread, target.replicas) {
        return vec![Finding::skipped(
            CHECK,
            format!("{seen} could not be read: {reason}"),
        )];
    }
    let seen = format!("{seen}: replicas {replicas}, pods {pods}");
    vec![if replicas == 0 {
        Finding::wrong(
            CHECK,
            seen,
            "the target has 0 replicas, which are never scaled up automatically",
            format!("kubectl -n {} scale {name} --replicas=1", subject.namespace),
        )
    } else if pods == 0 {
        Finding::wrong(
            CHECK,
            seen,
            "the target's selector selects no pods",
            format!(
                "see kubectl -n {} describe {name}: its events say why it creates no pods",
                subject.namespace
            ),
        )
    } else {
        Finding::good(CHECK, seen)
    }]
}
