//! Whether TorchServe's configuration exports metrics, on the port that the sidecar scrapes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};
use pushscale_protocol::{SIDECAR_ENV_PREFIX, TORCHSERVE_METRICS_PORT};

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, pod_name, sidecar, torchserve, variable};

pub(super) const CHECK: &str = "torchserve-config";

/// The key of TorchServe's configuration in a ConfigMap.
const FILE: &str = "config.properties";

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut checked = BTreeSet::new();
    for pod in &subject.pods {
        let Some(container) = torchserve(pod) else {
            continue;
        };
        for name in config_maps(pod) {
            if !checked.insert(name) {
                continue;
            }
            let Some(found) = snapshot.config_map(subject.namespace, name) else {
                continue;
            };
            let Some(text) = found.data.as_ref().and_then(|data| data.get(FILE)) else {
                continue;
            };
            let seen = format!("{}: ConfigMap {name}, {FILE}", subject.name);
            findings.extend(metrics_mode(container, text, &seen));
            findings.push(metrics_port(pod, text, &seen));
        }
    }
    if findings.is_empty() && !subject.pods.is_empty() {
        let seen = format!(
            "{}: no ConfigMap of the pods has {FILE}, so it is in the image or on a volume",
            subject.name
        );
        findings.push(Finding::skipped(CHECK, seen));
    }
    findings
}

/// Returns the names of the ConfigMaps that a pod mounts.
fn config_maps(pod: &Pod) -> BTreeSet<&str> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let mut names = BTreeSet::new();
    for volume in volumes {
        names.extend(volume.config_map.iter().map(|source| source.name.as_str()));
        let projected = volume
            .projected
            .iter()
            .flat_map(|found| found.sources.iter().flatten());
        names.extend(projected.filter_map(|source| {
            source
                .config_map
                .as_ref()
                .map(|source| source.name.as_str())
        }));
    }
    names
}

/// Returns the last value of a property, as Java reads the file.
fn property<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut values = text.lines().rev().filter_map(|line| {
        let (found, value) = line.trim().split_once(['=', ':'])?;
        (found.trim() == key).then(|| value.trim())
    });
    values.next()
}

fn metrics_mode(container: &Container, text: &str, seen: &str) -> Option<Finding> {
    // TorchServe reads the environment only if the file permits it.
    let permits = property(text, "enable_envvars_config") == Some("true");
    let from_environment = permits
        .then(|| variable(container, "TS_METRICS_MODE"))
        .flatten();
    let mode = from_environment.or_else(|| property(text, "metrics_mode"));
    Some(match mode {
        Some("prometheus" | "legacy") => {
            let mode = mode.unwrap_or_default();
            Finding::good(CHECK, format!("{seen}: metrics_mode={mode}"))
        }
        Some(mode) => Finding::wrong(
            CHECK,
            format!("{seen}: metrics_mode={mode}"),
            "the metrics page is empty, so the pods cannot report",
            "set metrics_mode=prometheus, and restart the pods",
        ),
        None => Finding::wrong(
            CHECK,
            format!("{seen}: no metrics_mode, which is log by default"),
            "the metrics page is empty, so the pods cannot report",
            "set metrics_mode=prometheus, and restart the pods",
        ),
    })
}

fn metrics_port(pod: &Pod, text: &str, seen: &str) -> Finding {
    let port_of = |url: &str| {
        url.trim_end_matches('/')
            .rsplit_once(':')?
            .1
            .parse::<u16>()
            .ok()
    };
    let served = property(text, "metrics_address").and_then(port_of);
    let served = served.unwrap_or(TORCHSERVE_METRICS_PORT);
    let url = sidecar(pod)
        .and_then(|sidecar| variable(sidecar, &format!("{SIDECAR_ENV_PREFIX}_METRICS_URL")));
    let scraped = url.and_then(port_of).unwrap_or(TORCHSERVE_METRICS_PORT);
    let seen = format!(
        "{seen}: metrics on port {served}, scraped on port {scraped} in {}",
        pod_name(pod)
    );
    if served == scraped {
        return Finding::good(CHECK, seen);
    }
    Finding::wrong(
        CHECK,
        seen,
        "the sidecar scrapes a port on which TorchServe serves no metrics",
        format!("set the annotation pushscale.dev/metrics-port: \"{served}\" in the pod template"),
    )
}
