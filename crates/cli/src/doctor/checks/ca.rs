//! Whether the CA of the aggregator is in the namespace, if the sidecars need it.

use pushscale_protocol::{CA_CONFIG_MAP, CA_FILE, CA_LABEL, SIDECAR_ENV_PREFIX};

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, sidecar, variable};

pub(super) const CHECK: &str = "ca";

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let variable_name = format!("{SIDECAR_ENV_PREFIX}_CA_FILE");
    let sidecars = subject.pods.iter().filter_map(|pod| sidecar(pod));
    let needs_ca = sidecars
        .filter_map(|sidecar| variable(sidecar, &variable_name))
        .next();
    if needs_ca.is_none() {
        return Vec::new();
    }
    let seen = format!(
        "{}: ConfigMap {}/{CA_CONFIG_MAP}",
        subject.name, subject.namespace
    );
    if let Some(reason) = snapshot.unread("ConfigMap") {
        return vec![Finding::skipped(
            CHECK,
            format!("{seen} could not be read: {reason}"),
        )];
    }
    let fix = format!(
        "see the log of pushscale-certificates: it publishes the CA in every namespace without the label \
         {CA_LABEL}=disabled, or in aggregator.watchNamespace only"
    );
    vec![
        match snapshot.config_map(subject.namespace, CA_CONFIG_MAP) {
            None => Finding::wrong(
                CHECK,
                format!("{seen} does not exist"),
                "the sidecars cannot verify the aggregator and do not push",
                fix,
            ),
            Some(found)
                if !found
                    .data
                    .as_ref()
                    .is_some_and(|data| data.contains_key(CA_FILE)) =>
            {
                Finding::wrong(
                    CHECK,
                    format!("{seen} has no {CA_FILE}"),
                    "the sidecars cannot verify the aggregator and do not push",
                    fix,
                )
            }
            Some(_) => Finding::good(CHECK, seen),
        },
    ]
}
