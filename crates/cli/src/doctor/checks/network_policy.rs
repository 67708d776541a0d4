//! Whether NetworkPolicies keep the pods from the aggregator, or from DNS.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{Selector, SelectorExt as _};
use pushscale_protocol::AGGREGATOR_PUSH_PORT;

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::{Snapshot, Subject};

pub(super) const CHECK: &str = "network-policy";

const DNS_PORT: u16 = 53;

/// One direction of the traffic from a pod to the aggregator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Egress,
    Ingress,
}

pub(super) fn check(snapshot: &Snapshot, subject: &Subject<'_>) -> Vec<Finding> {
    let (Some(pod), Some(aggregator)) = (subject.pods.first(), snapshot.aggregators.first()) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let egress = policies(snapshot, pod, Direction::Egress);
    let permits = |peer: Option<&Pod>, port: u16, protocol: &str| {
        let mut rules = egress.iter().flat_map(|policy| {
            policy
                .spec
                .iter()
                .flat_map(|spec| spec.egress.iter().flatten())
                .map(move |rule| (policy, rule))
        });
        rules.any(|(policy, rule)| {
            permits_port(rule.ports.as_deref(), port, "push", protocol)
                && permits_peer(snapshot, policy, rule.to.as_deref(), peer)
        })
    };
    if !egress.is_empty() {
        let seen = format!("{}: egress of the pods, {}", subject.name, names(&egress));
        findings.push(if !permits(Some(aggregator), AGGREGATOR_PUSH_PORT, "TCP") {
            Finding::wrong(
                CHECK,
                seen,
                format!("no rule permits TCP {AGGREGATOR_PUSH_PORT} to the aggregator"),
                format!("permit egress to port {AGGREGATOR_PUSH_PORT} of the namespace of the aggregator"),
            )
        } else if !permits(None, DNS_PORT, "UDP") {
            Finding::wrong(
                CHECK,
                seen,
                format!("no rule permits UDP {DNS_PORT}: the sidecar cannot resolve the aggregator's name"),
                format!("permit egress to port {DNS_PORT} of kube-dns"),
            )
        } else {
            Finding::good(CHECK, seen)
        });
    }
    let ingress = policies(snapshot, aggregator, Direction::Ingress);
    if !ingress.is_empty() {
        let seen = format!(
            "{}: ingress of the aggregator, {}",
            subject.name,
            names(&ingress)
        );
        let mut rules = ingress.iter().flat_map(|policy| {
            policy
                .spec
                .iter()
                .flat_map(|spec| spec.ingress.iter().flatten())
                .map(move |rule| (policy, rule))
        });
        let permits = rules.any(|(policy, rule)| {
            permits_port(rule.ports.as_deref(), AGGREGATOR_PUSH_PORT, "push", "TCP")
                && permits_peer(snapshot, policy, rule.from.as_deref(), Some(pod))
        });
        findings.push(if permits {
            Finding::good(CHECK, seen)
        } else {
            Finding::wrong(
                CHECK,
                seen,
                format!("no rule permits TCP {AGGREGATOR_PUSH_PORT} from the pods"),
                format!(
                    "permit ingress on port {AGGREGATOR_PUSH_PORT} from namespace {}",
                    subject.namespace
                ),
            )
        });
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            CHECK,
            format!(
                "{}: no NetworkPolicy selects its pods or the aggregator",
                subject.name
            ),
        ));
    }
    findings
}

fn names(policies: &[&NetworkPolicy]) -> String {
    let names = policies
        .iter()
        .map(|policy| policy.metadata.name.as_deref().unwrap_or_default());
    names.collect::<Vec<_>>().join(", ")
}

/// Returns the policies that restrict this direction of a pod's traffic.
fn policies<'a>(snapshot: &'a Snapshot, pod: &Pod, direction: Direction) -> Vec<&'a NetworkPolicy> {
    let all = snapshot.network_policies.iter();
    all.filter(|policy| {
        let Some(spec) = &policy.spec else {
            return false;
        };
        let types = spec.policy_types.as_deref().unwrap_or_default();
        let restricts = match direction {
            // Without types, a policy restricts ingress, and egress if it has such rules.
            Direction::Egress => {
                types.iter().any(|found| found == "Egress")
                    || (types.is_empty() && spec.egress.is_some())
            }
            Direction::Ingress => types.is_empty() || types.iter().any(|found| found == "Ingress"),
        };
        restricts
            && policy.metadata.namespace == pod.metadata.namespace
            && selects(spec.pod_selector.as_ref(), pod.metadata.labels.as_ref())
    })
    .collect()
}

/// Whether a selector selects labels. An absent or empty selector selects everything.
fn selects(selector: Option<&LabelSelector>, labels: Option<&BTreeMap<String, String>>) -> bool {
    let none = BTreeMap::new();
    let Some(selector) = selector else {
        return true;
    };
    // The API server accepts no invalid selector.
    Selector::try_from(selector.clone())
        .is_ok_and(|selector| selector.matches(labels.unwrap_or(&none)))
}

fn permits_port(
    ports: Option<&[NetworkPolicyPort]>,
    port: u16,
    name: &str,
    protocol: &str,
) -> bool {
    let ports = ports.unwrap_or_default();
    ports.is_empty()
        || ports.iter().any(|found| {
            let is_protocol = found.protocol.as_deref().unwrap_or("TCP") == protocol;
            let is_port = match (&found.port, found.end_port) {
                (None, _) => true,
                (Some(IntOrString::Int(first)), Some(last)) => {
                    (*first..=last).contains(&i32::from(port))
                }
                (Some(IntOrString::Int(only)), None) => *only == i32::from(port),
                (Some(IntOrString::String(found)), _) => {
                    found == name || (port == DNS_PORT && found.starts_with("dns"))
                }
            };
            is_protocol && is_port
        })
}

/// Whether a rule permits a peer; `None` is a peer that is not known, such as DNS, which any peer may be.
fn permits_peer(
    snapshot: &Snapshot,
    policy: &NetworkPolicy,
    peers: Option<&[NetworkPolicyPeer]>,
    pod: Option<&Pod>,
) -> bool {
    let peers = peers.unwrap_or_default();
    let Some(pod) = pod else {
        return true;
    };
    peers.is_empty()
        || peers.iter().any(|peer| {
            // An address range may contain the pod's address.
            if peer.ip_block.is_some() {
                return true;
            }
            let is_namespace = match &peer.namespace_selector {
                None => policy.metadata.namespace == pod.metadata.namespace,
                Some(selector) => selects(Some(selector), labels_of_namespace(snapshot, pod)),
            };
            is_namespace && selects(peer.pod_selector.as_ref(), pod.metadata.labels.as_ref())
        })
}

fn labels_of_namespace<'a>(
    snapshot: &'a Snapshot,
    pod: &Pod,
) -> Option<&'a BTreeMap<String, String>> {
    let mut namespaces = snapshot.namespaces.iter();
    let found = namespaces.find(|namespace| namespace.metadata.name == pod.metadata.namespace)?;
    found.metadata.labels.as_ref()
}
