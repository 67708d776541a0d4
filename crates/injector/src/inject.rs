//! Decides whether a pod gets the sidecar, and with which changes. Pure: no I/O and no clock.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1;
use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations, inject as label};
use pushscale_protocol::{DRAIN_DEADLINE, DRAIN_PATH, SIDECAR_PORT};
use serde::Deserialize as _;
use serde_json::{Value, json};
use thiserror::Error;

use crate::annotation;
use crate::change::{Change, Step};
use crate::container;
use crate::facts::{Auth, Facts};
use crate::pod::{Container, Hook, MIRROR, Metadata, NODE, NODE_OS, PORT_NAME, Pod, PodSpec, Port};
use crate::skip::{Skip, escape_controls};
use crate::token_file;
use crate::torchserve::{self, ChosenContainer};

/// The version in the annotation of an injected pod.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Kubernetes' default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The original grace period of a pod that had none.
const UNSET: &str = "unset";

/// The original preStop hook of a pod that had the drain already.
const KEPT: &str = "kept";

/// The time between the end of the drain and the kill, in which TorchServe shuts down.
const SECONDS_AFTER_DRAIN: i64 = 10;

/// The result for a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The pod gets the sidecar.
    Injected(Injection),
    /// The pod gets no sidecar.
    Skipped(Skip),
}

/// The injection of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The container that was identified as TorchServe's.
    pub container: ChosenContainer,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// The parts that were not injected.
    pub notes: Vec<Note>,
}

/// A part of an injected pod that was left unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Note {
    /// TorchServe's container already has a preStop hook that is not the drain.
    #[error(
        "the container {container} keeps its own preStop hook, so the pod stops without completing its requests: \
         make GET http://localhost:{SIDECAR_PORT}{DRAIN_PATH} the last step of the hook"
    )]
    PreStopKept {
        /// The container's name.
        container: String,
    },
}

impl Note {
    /// Returns the note's name in UpperCamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PreStopKept { .. } => "PreStopKept",
        }
    }

    /// Returns the text of the pod's annotation: the name and the sentence.
    pub fn message(&self) -> String {
        escape_controls(&format!("{}: {self}", self.reason()))
    }
}

impl Outcome {
    /// Returns the changes of the pod.
    pub fn changes(&self) -> Vec<Change> {
        match self {
            Self::Injected(injection) => injection.changes.clone(),
            Self::Skipped(skip) => skip.changes(),
        }
    }
}

/// Decides whether a pod gets the sidecar.
///
/// # Errors
///
/// Fails if the value is not a pod.
pub fn inject_value(pod: &Value, facts: &Facts<'_>) -> Result<Outcome, serde_json::Error> {
    // Also checks the fields that the injection does not read.
    v1::Pod::deserialize(pod)?;
    let text = serde_json::to_vec(pod)?;
    Ok(inject(&Pod::parse(&text)?, facts))
}

/// Decides whether a pod gets the sidecar.
pub(crate) fn inject(pod: &Pod<'_>, facts: &Facts<'_>) -> Outcome {
    match injection(pod, facts) {
        Ok(injection) => Outcome::Injected(injection),
        Err(skip) => Outcome::Skipped(skip),
    }
}

fn injection(pod: &Pod<'_>, facts: &Facts<'_>) -> Result<Injection, Skip> {
    let nothing = BTreeMap::new();
    let no_metadata = Metadata::default();
    let metadata = pod.metadata.as_ref().unwrap_or(&no_metadata);
    let annotations = metadata.annotations.as_ref().unwrap_or(&nothing);
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    check_requested(metadata, facts)?;
    check_supported(metadata, spec, annotations, facts)?;

    let overrides = annotation::read(annotations)?;
    let server = torchserve::find(spec, facts.container, overrides.container.as_deref())?;
    let resources = annotation::resources(annotations, has_cpu_limit(server.container))?;
    check_port_and_volume(spec, facts)?;
    let token_file = match &overrides.token_file {
        Some(file) => Some(token_file::find(spec, &server, file)?),
        None => None,
    };
    let port_name_is_free = !ports(spec).any(|(_, _, name)| name == Some(PORT_NAME));
    let sidecar = container::sidecar(
        facts,
        &overrides,
        &resources,
        &server,
        token_file.as_ref(),
        port_name_is_free,
    );

    let mut changes = Vec::new();
    let mut notes = Vec::new();
    let hook = pre_stop(server.container);
    let had_drain = hook.is_some_and(drains);
    match hook {
        None => changes.push(Change::Set {
            parent: vec![
                Step::Key("spec"),
                Step::Key("containers"),
                Step::Index(server.index),
                Step::Key("lifecycle"),
            ],
            key: "preStop".to_owned(),
            value: container::drain(),
        }),
        Some(_) if had_drain => {}
        Some(_) => notes.push(Note::PreStopKept {
            container: server.container.name.to_string(),
        }),
    }
    changes.push(Change::Insert {
        parent: vec![Step::Key("spec")],
        list: if facts.native_sidecar {
            "initContainers"
        } else {
            "containers"
        },
        // Native sidecars start in the order of the list. As the first one, the sidecar already reports while a later
        // init container fetches a model for minutes.
        first: facts.native_sidecar,
        value: sidecar,
    });
    if facts.sidecar.auth == Auth::Token {
        changes.push(Change::Insert {
            parent: vec![Step::Key("spec")],
            list: "volumes",
            first: false,
            value: container::trust_volume(),
        });
    }
    let mut original_grace_period = None;
    if notes.is_empty() {
        let default = || DRAIN_DEADLINE.parse().ok();
        let drain = overrides
            .drain_deadline
            .or_else(default)
            .map_or(0, ceil_seconds);
        let required = drain + SECONDS_AFTER_DRAIN;
        let now = spec.termination_grace_period_seconds;
        if now.unwrap_or(DEFAULT_GRACE_SECONDS) < required {
            original_grace_period = Some(now.map_or(UNSET.to_owned(), |now| now.to_string()));
            changes.push(Change::Set {
                parent: vec![Step::Key("spec")],
                key: "terminationGracePeriodSeconds".to_owned(),
                value: json!(required),
            });
        }
    }
    let messages: Vec<_> = notes.iter().map(Note::message).collect();
    let written = [
        (annotations::INJECTED, Some(VERSION.to_owned())),
        (
            annotations::SKIPPED,
            (!messages.is_empty()).then(|| messages.join("; ")),
        ),
        (annotations::ORIGINAL_GRACE_PERIOD, original_grace_period),
        (
            annotations::ORIGINAL_PRE_STOP,
            had_drain.then(|| KEPT.to_owned()),
        ),
    ];
    changes.extend(annotation_changes(annotations, written));
    Ok(Injection {
        container: server.chosen(),
        changes,
        notes,
    })
}

fn has_cpu_limit(container: &Container<'_>) -> bool {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    limits.is_some_and(|limits| limits.cpu.is_some())
}

/// Returns the duration in seconds, rounded up.
fn ceil_seconds(duration: SignedDuration) -> i64 {
    duration.as_secs() + i64::from(duration.subsec_nanos() > 0)
}

/// Checks that label and namespace allow the injection.
fn check_requested(metadata: &Metadata<'_>, facts: &Facts<'_>) -> Result<(), Skip> {
    let labels = metadata.labels.as_ref();
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

/// Checks that the sidecar can run in this kind of pod.
fn check_supported(
    metadata: &Metadata<'_>,
    spec: &PodSpec<'_>,
    annotations: &BTreeMap<String, String>,
    facts: &Facts<'_>,
) -> Result<(), Skip> {
    let mut owners = metadata.owner_references.iter();
    if annotations.contains_key(MIRROR) || owners.any(|owner| owner.kind == NODE) {
        return Err(Skip::StaticPod);
    }
    if names(spec).any(|name| name == SIDECAR_CONTAINER) {
        return Err(match annotations.get(annotations::INJECTED) {
            Some(version) if version != VERSION => Skip::InjectedByOtherVersion {
                version: version.chars().take(40).collect(),
            },
            _ => Skip::AlreadyInjected,
        });
    }
    let system = spec.os.as_ref().map(|os| &*os.name);
    let selected = spec.node_selector.as_ref();
    let selected = selected.and_then(|selector| selector.get(NODE_OS));
    if system == Some("windows") || selected.is_some_and(|system| system == "windows") {
        return Err(Skip::WindowsNode);
    }
    // On the node's network the sidecar's port is the node's: a second such pod could not be scheduled to the node, and
    // anyone who reaches the node could call /drain. A pod that is not scaled is better than one that does not start.
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

/// Checks that the sidecar's port and its volume's name are free.
fn check_port_and_volume(spec: &PodSpec<'_>, facts: &Facts<'_>) -> Result<(), Skip> {
    if let Some((container, ..)) =
        ports(spec).find(|(_, port, _)| *port == Some(i64::from(SIDECAR_PORT)))
    {
        return Err(Skip::PortInUse {
            container: container.to_owned(),
        });
    }
    let mut volumes = spec.volumes.iter().flatten();
    if facts.sidecar.auth == Auth::Token && volumes.any(|volume| volume.name == TRUST_VOLUME) {
        return Err(Skip::VolumeNameInUse);
    }
    Ok(())
}

/// Returns the names of all containers, init containers included.
fn names<'a>(spec: &'a PodSpec<'_>) -> impl Iterator<Item = &'a str> {
    let init = spec.init_containers.iter().flatten();
    let init = init.map(|container| &*container.name);
    spec.containers
        .iter()
        .map(|container| &*container.name)
        .chain(init)
}

/// Returns container, number and name of each port of the containers that run at the same time as TorchServe.
fn ports<'a>(
    spec: &'a PodSpec<'_>,
) -> impl Iterator<Item = (&'a str, Option<i64>, Option<&'a str>)> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| (&*container.name, &container.ports));
    spec.containers
        .iter()
        .map(|container| (&*container.name, &container.ports))
        .chain(sidecars)
        .flat_map(|(container, ports): (&str, &Vec<Port<'_>>)| {
            let ports = ports.iter();
            ports.map(move |port| (container, port.container_port, port.name.as_deref()))
        })
}

fn pre_stop<'a>(container: &'a Container<'_>) -> Option<&'a Hook<'a>> {
    container.lifecycle.as_ref()?.pre_stop.as_ref()
}

/// Whether a hook already calls the sidecar's drain.
///
/// A named port never refers to the sidecar: the kubelet looks the name up in the ports of the hook's container, and a
/// container that has the sidecar's port is [`Skip::PortInUse`].
fn drains(hook: &Hook<'_>) -> bool {
    hook.http_get.as_ref().is_some_and(|get| {
        get.path.as_deref() == Some(DRAIN_PATH)
            && get.port.as_deref() == Some(&SIDECAR_PORT.to_string())
            && get.host.as_deref().unwrap_or_default().is_empty()
            && get.scheme.as_deref().is_none_or(|scheme| scheme == "HTTP")
    })
}

/// Returns the changes of the pod's annotations. One that an earlier injection has left in a copied template, and that
/// does not apply any more, is removed.
fn annotation_changes(
    annotations: &BTreeMap<String, String>,
    written: [(&str, Option<String>); 4],
) -> impl Iterator<Item = Change> {
    written.into_iter().filter_map(|(key, value)| {
        let parent = vec![Step::Key("metadata"), Step::Key("annotations")];
        let key = key.to_owned();
        match value {
            Some(value) => Some(Change::Set {
                parent,
                key,
                value: value.into(),
            }),
            None if annotations.contains_key(&key) => Some(Change::Remove { parent, key }),
            None => None,
        }
    })
}
