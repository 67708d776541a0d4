//! A pod in, what becomes of it out. No IO, no clock.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations, inject as label};
use pushscale_protocol::{DRAIN_PATH, SIDECAR_PORT};
use serde::Deserialize as _;
use serde_json::{Value, json};
use thiserror::Error;

use crate::annotation;
use crate::change::{Change, Step};
use crate::container::{self, PORT_NAME};
use crate::facts::{Facts, Trust};
use crate::skip::Skip;
use crate::token_file;
use crate::torchserve;

/// The version that an injected pod's annotation names.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a pod without one has.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// How long the sidecar lets TorchServe drain by itself.
const DRAIN_SECONDS: i64 = 25;

/// How long TorchServe has after it has drained, before it is killed.
const SECONDS_AFTER_DRAIN: i64 = 10;

/// Where the kubelet marks the API server's copy of a pod that it runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It gets the sidecar.
    Injected(Injection),
    /// It is left as it is.
    Skipped(Skip),
}

/// How a pod gets the sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// What is added, in this order.
    pub changes: Vec<Change>,
    /// What was left as it was.
    pub notes: Vec<Note>,
}

/// A part of an injected pod that was left as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Note {
    /// TorchServe's container has a preStop hook of its own.
    #[error(
        "the container {container} keeps its own preStop hook, so that the pod does not wait until its requests are \
         answered: let the hook end with GET http://localhost:{SIDECAR_PORT}{DRAIN_PATH}"
    )]
    PreStopKept {
        /// Which.
        container: String,
    },
}

impl Note {
    /// The note's name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PreStopKept { .. } => "PreStopKept",
        }
    }

    /// What the pod's annotation says: the name and the sentence.
    pub fn told(&self) -> String {
        format!("{}: {self}", self.reason())
    }
}

impl Outcome {
    /// What is changed of the pod.
    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Injected(injection) => injection.changes.clone(),
            Self::Skipped(skip) => skip.changes(),
        }
    }
}

/// The same of a pod that is a value.
///
/// # Errors
/// If it is no pod.
pub fn inject_value(pod: &Value, facts: &Facts<'_>) -> Result<Outcome, serde_json::Error> {
    Ok(inject(&Pod::deserialize(pod)?, facts))
}

/// What becomes of a pod.
pub fn inject(pod: &Pod, facts: &Facts<'_>) -> Outcome {
    match injection(pod, facts) {
        Ok(injection) => Outcome::Injected(injection),
        Err(skip) => Outcome::Skipped(skip),
    }
}

fn injection(pod: &Pod, facts: &Facts<'_>) -> Result<Injection, Skip> {
    let nothing = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&nothing);
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    wanted(pod, facts)?;
    possible(pod, spec, annotations, facts)?;

    let wishes = annotation::read(annotations)?;
    let server = torchserve::find(spec, wishes.container.as_deref())?;
    free(spec, facts)?;
    let token_file = match &wishes.token_file {
        Some(file) => Some(token_file::find(spec, server, file)?),
        None => None,
    };
    let port_name_is_free = !ports(spec).any(|(_, _, name)| name == Some(PORT_NAME));
    let sidecar = container::sidecar(
        facts,
        &wishes,
        server,
        token_file.as_ref(),
        port_name_is_free,
    );

    let mut changes = Vec::new();
    let mut notes = Vec::new();
    if has_pre_stop(server.container) {
        notes.push(Note::PreStopKept {
            container: server.container.name.clone(),
        });
    } else {
        changes.push(Change::Set {
            parent: vec![
                Step::Key("spec"),
                Step::Key("containers"),
                Step::Index(server.index),
                Step::Key("lifecycle"),
            ],
            key: "preStop".to_owned(),
            value: container::drain(),
        });
    }
    changes.push(Change::Insert {
        parent: vec![Step::Key("spec")],
        list: if facts.native_sidecar {
            "initContainers"
        } else {
            "containers"
        },
        // A native sidecar starts in the order of the list: an init container after it, such as one that fetches a
        // model for minutes, is then seen from the start.
        first: facts.native_sidecar,
        value: sidecar,
    });
    if facts.sidecar.trust == Trust::Token {
        changes.push(Change::Insert {
            parent: vec![Step::Key("spec")],
            list: "volumes",
            first: false,
            value: container::trust_volume(),
        });
    }
    if notes.is_empty() {
        let drain = wishes
            .drain_deadline
            .map_or(DRAIN_SECONDS, |span| span.seconds());
        let least = drain.saturating_add(SECONDS_AFTER_DRAIN);
        let now = spec.termination_grace_period_seconds;
        if now.unwrap_or(DEFAULT_GRACE_SECONDS) < least {
            changes.push(Change::Set {
                parent: vec![Step::Key("spec")],
                key: "terminationGracePeriodSeconds".to_owned(),
                value: json!(least),
            });
        }
    }
    changes.extend(annotated(annotations, &notes));
    Ok(Injection { changes, notes })
}

/// Does anybody want the sidecar in this pod?
fn wanted(pod: &Pod, facts: &Facts<'_>) -> Result<(), Skip> {
    let labels = pod.metadata.labels.as_ref();
    match labels
        .and_then(|labels| labels.get(label::LABEL))
        .map(String::as_str)
    {
        None | Some(label::ENABLED) => {}
        Some(label::DISABLED) => return Err(Skip::OptedOut),
        Some(other) => {
            return Err(Skip::InvalidLabel {
                value: other.to_owned(),
            });
        }
    }
    let namespace = facts.namespace.to_owned();
    if namespace == "kube-system" {
        return Err(Skip::SystemNamespace { namespace });
    }
    if facts.sidecar.own_namespace.as_deref() == Some(facts.namespace) {
        return Err(Skip::OwnNamespace { namespace });
    }
    Ok(())
}

/// Could it run there?
fn possible(
    pod: &Pod,
    spec: &PodSpec,
    annotations: &BTreeMap<String, String>,
    facts: &Facts<'_>,
) -> Result<(), Skip> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if annotations.contains_key(MIRROR) || owners.any(|owner| owner.kind == "Node") {
        return Err(Skip::StaticPod);
    }
    if containers(spec).any(|container| container.name == SIDECAR_CONTAINER) {
        return Err(match annotations.get(annotations::INJECTED) {
            Some(version) if version != VERSION => Skip::InjectedByOtherVersion {
                version: version.chars().take(40).collect(),
            },
            _ => Skip::AlreadyInjected,
        });
    }
    let system = spec.os.as_ref().map(|os| os.name.as_str());
    let selected = spec.node_selector.as_ref();
    let selected = selected.and_then(|selector| selector.get("kubernetes.io/os"));
    if system == Some("windows") || selected.is_some_and(|system| system == "windows") {
        return Err(Skip::WindowsNode);
    }
    // On the node's network the sidecar's port is the node's. Kubernetes would keep a second such pod off the node
    // for want of the port, and everybody who reaches the node could ask for /drain: a pod that scales by hand is
    // better than one that does not start.
    if spec.host_network == Some(true) {
        return Err(Skip::HostNetwork);
    }
    let restart_policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if restart_policy != "Always" && !facts.native_sidecar {
        return Err(Skip::WouldNotFinish {
            restart_policy: restart_policy.to_owned(),
        });
    }
    Ok(())
}

/// Is what it needs free?
fn free(spec: &PodSpec, facts: &Facts<'_>) -> Result<(), Skip> {
    if let Some((container, ..)) = ports(spec).find(|(_, port, _)| *port == i32::from(SIDECAR_PORT))
    {
        return Err(Skip::PortInUse {
            container: container.to_owned(),
        });
    }
    let mut volumes = spec.volumes.iter().flatten();
    if facts.sidecar.trust == Trust::Token && volumes.any(|volume| volume.name == TRUST_VOLUME) {
        return Err(Skip::VolumeNameInUse);
    }
    Ok(())
}

/// All containers that the pod has for good, or at its start.
fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
}

/// Who has which port under which name, of those that run while TorchServe does.
fn ports(spec: &PodSpec) -> impl Iterator<Item = (&str, i32, Option<&str>)> {
    let stay = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(stay).flat_map(|container| {
        let ports = container.ports.iter().flatten();
        ports.map(|port| {
            (
                container.name.as_str(),
                port.container_port,
                port.name.as_deref(),
            )
        })
    })
}

fn has_pre_stop(container: &Container) -> bool {
    let lifecycle = container.lifecycle.as_ref();
    lifecycle.is_some_and(|lifecycle| lifecycle.pre_stop.is_some())
}

/// What the pod's annotations say of the injection. What an earlier one said in a copied template is gone.
fn annotated(annotations: &BTreeMap<String, String>, notes: &[Note]) -> Vec<Change> {
    let parent = vec![Step::Key("metadata"), Step::Key("annotations")];
    let mut changes = vec![Change::Set {
        parent: parent.clone(),
        key: annotations::INJECTED.to_owned(),
        value: Value::from(VERSION),
    }];
    let told: Vec<_> = notes.iter().map(Note::told).collect();
    if !told.is_empty() {
        changes.push(Change::Set {
            parent,
            key: annotations::SKIPPED.to_owned(),
            value: Value::from(told.join("; ")),
        });
    } else if annotations.contains_key(annotations::SKIPPED) {
        changes.push(Change::Remove {
            parent,
            key: annotations::SKIPPED.to_owned(),
        });
    }
    changes
}
