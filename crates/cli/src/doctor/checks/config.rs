//! Whether TorchServe's configuration exports metrics, and serves on the ports that the sidecar scrapes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};
use pushscale_api::names::annotations;
use pushscale_protocol::{SIDECAR_ENV_PREFIX, TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT};

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject, pod_name, sidecar, torchserve, variable};

pub(super) const CHECK: &str = "torchserve-config";

/// The key of TorchServe's configuration in a ConfigMap.
const FILE: &str = "config.properties";

/// A port of TorchServe that the sidecar scrapes.
struct ScrapedPort {
    name: &'static str,
    /// The property with the address on which TorchServe serves.
    address: &'static str,
    /// The setting with the URL that the sidecar scrapes, without its prefix.
    url: &'static str,
    default: u16,
    annotation: &'static str,
    problem: &'static str,
}

const PORTS: [ScrapedPort; 2] = [
    ScrapedPort {
        name: "metrics",
        address: "metrics_address",
        url: "METRICS_URL",
        default: TORCHSERVE_METRICS_PORT,
        annotation: annotations::METRICS_PORT,
        problem: "the sidecar scrapes a port on which TorchServe serves no metrics",
    },
    ScrapedPort {
        name: "management",
        address: "management_address",
        url: "MANAGEMENT_URL",
        default: TORCHSERVE_MANAGEMENT_PORT,
        annotation: annotations::MANAGEMENT_PORT,
        problem: "the sidecar scrapes a port on which TorchServe serves no management API, so the number of waiting requests is unknown",
    },
];

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
            findings.push(metrics_mode(container, text, &seen));
            let ports = PORTS.iter();
            findings.extend(ports.filter_map(|port| port.check(pod, container, text, &seen)));
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

/// Returns the value with which TorchServe runs: it reads the environment only if the file permits it.
fn setting<'a>(container: &'a Container, text: &'a str, key: &str) -> Option<&'a str> {
    let permits = property(text, "enable_envvars_config") == Some("true");
    let name = format!("TS_{}", key.to_uppercase());
    let from_environment = permits.then(|| variable(container, &name)).flatten();
    from_environment.or_else(|| property(text, key))
}

fn metrics_mode(container: &Container, text: &str, seen: &str) -> Finding {
    match setting(container, text, "metrics_mode") {
        Some(mode @ ("prometheus" | "legacy")) => {
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
    }
}

/// Returns the port of a URL.
fn port_of(url: &str) -> Option<u16> {
    let (_, port) = url.trim_end_matches('/').rsplit_once(':')?;
    port.parse().ok()
}

impl ScrapedPort {
    /// Returns `None` if the sidecar does not scrape this port.
    fn check(&self, pod: &Pod, container: &Container, text: &str, seen: &str) -> Option<Finding> {
        let url = format!("{SIDECAR_ENV_PREFIX}_{}", self.url);
        let url = sidecar(pod).and_then(|sidecar| variable(sidecar, &url));
        if url == Some("off") {
            return None;
        }
        let scraped = url.and_then(port_of).unwrap_or(self.default);
        let served = setting(container, text, self.address).and_then(port_of);
        let served = served.unwrap_or(self.default);
        let seen = format!(
            "{seen}: {} on port {served}, scraped on port {scraped} in {}",
            self.name,
            pod_name(pod)
        );
        if served == scraped {
            return Some(Finding::good(CHECK, seen));
        }
        let fix = format!(
            "set the annotation {}: \"{served}\" in the pod template",
            self.annotation
        );
        Some(Finding::wrong(CHECK, seen, self.problem, fix))
    }
}
