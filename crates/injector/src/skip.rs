//! The reasons why a pod gets no sidecar. Each has a name, which the annotation, the event and the metric show.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations, inject};
use pushscale_protocol::SIDECAR_PORT;
use serde_json::Value;
use thiserror::Error;

use crate::change::{Change, Step};

/// Why a pod gets no sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum Skip {
    #[error("the pod's label {} is {}", inject::LABEL, inject::DISABLED)]
    OptedOut,
    #[error(
        "the label {} is {value:?}: it must be {} or {}",
        inject::LABEL,
        inject::ENABLED,
        inject::DISABLED
    )]
    InvalidLabel { value: String },
    #[error("pods of the namespace {namespace} are Kubernetes' own: move the pod to another one")]
    SystemNamespace { namespace: String },
    #[error("pods of the namespace {namespace} are Pushscale's own: move the pod to another one")]
    OwnNamespace { namespace: String },
    #[error(
        "the kubelet runs this pod from a file, and the API server only has a copy: add the sidecar to the file"
    )]
    StaticPod,
    /// The pod has the sidecar, from this version or added by hand.
    #[error("the pod already has a container {SIDECAR_CONTAINER}")]
    AlreadyInjected,
    /// The pod has the sidecar of another version, most likely from an injected manifest.
    #[error(
        "the pod already has the sidecar of Pushscale {version}: remove it from the manifest with \
         `pushscale inject --uninject`, or inject the manifest again"
    )]
    InjectedByOtherVersion { version: String },
    #[error("the pod runs on Windows, for which there is no sidecar")]
    WindowsNode,
    #[error(
        "the pod uses its node's network (hostNetwork), where only one pod can have port {SIDECAR_PORT}: \
         set hostNetwork: false, or add the sidecar by hand with another port (PUSHSCALE_SIDECAR_LISTEN)"
    )]
    HostNetwork,
    #[error(
        "the pod runs to completion (restartPolicy {restart_policy}), and this cluster has no native sidecars, \
         which would end with it: use Kubernetes 1.29 or later"
    )]
    WouldNotFinish { restart_policy: String },
    #[error("{annotation} is {value:?}: it must be {expected}")]
    InvalidAnnotation {
        annotation: String,
        /// The beginning of its value.
        value: String,
        expected: String,
    },
    #[error("the pod has no container {name:?}: --container must name one of {containers}")]
    ContainerNotFound { name: String, containers: String },
    #[error(
        "no container looks like TorchServe ({containers}): the container must be named torchserve or kserve-container, \
         or the name of its image must contain torchserve; otherwise name it with the annotation {} or \
         `pushscale inject --container`",
        annotations::CONTAINER
    )]
    TorchServeNotFound { containers: String },
    #[error(
        "several containers look like TorchServe ({containers}): name one with the annotation {} or \
         `pushscale inject --container`",
        annotations::CONTAINER
    )]
    TorchServeAmbiguous { containers: String },
    #[error(
        "the container {container} uses port {SIDECAR_PORT}, which the sidecar needs: change that port"
    )]
    PortInUse { container: String },
    #[error("the pod has a volume {TRUST_VOLUME}, a name that the sidecar needs: rename it")]
    VolumeNameInUse,
}

impl Skip {
    /// Returns the reason's name in UpperCamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OptedOut => "OptedOut",
            Self::InvalidLabel { .. } => "InvalidLabel",
            Self::SystemNamespace { .. } => "SystemNamespace",
            Self::OwnNamespace { .. } => "OwnNamespace",
            Self::StaticPod => "StaticPod",
            Self::AlreadyInjected => "AlreadyInjected",
            Self::InjectedByOtherVersion { .. } => "InjectedByOtherVersion",
            Self::WindowsNode => "WindowsNode",
            Self::HostNetwork => "HostNetwork",
            Self::WouldNotFinish { .. } => "WouldNotFinish",
            Self::InvalidAnnotation { .. } => "InvalidAnnotation",
            Self::ContainerNotFound { .. } => "ContainerNotFound",
            Self::TorchServeNotFound { .. } => "TorchServeNotFound",
            Self::TorchServeAmbiguous { .. } => "TorchServeAmbiguous",
            Self::PortInUse { .. } => "PortInUse",
            Self::VolumeNameInUse => "VolumeNameInUse",
        }
    }

    /// Whether this needs no attention: a user who opted out wants no messages, and a pod that both entries of the
    /// webhook select is reviewed twice.
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::OptedOut | Self::AlreadyInjected)
    }

    /// Whether the user has to correct the input.
    pub fn is_user_error(&self) -> bool {
        matches!(
            self,
            Self::InvalidAnnotation { .. }
                | Self::InvalidLabel { .. }
                | Self::ContainerNotFound { .. }
                | Self::TorchServeAmbiguous { .. }
        )
    }

    /// Returns the text of the pod's annotation: the name and the sentence.
    pub fn message(&self) -> String {
        escape_controls(&format!("{}: {self}", self.reason()))
    }

    /// Returns the change of a pod that gets no sidecar: the annotation that says why, unless that is expected. The
    /// API server's copy of a static pod is not changed, since only the kubelet may do that.
    pub fn changes(&self) -> Vec<Change> {
        if self.is_expected() || *self == Self::StaticPod {
            return Vec::new();
        }
        vec![Change::Set {
            parent: vec![Step::Key("metadata"), Step::Key("annotations")],
            key: annotations::SKIPPED.to_owned(),
            value: Value::from(self.message()),
        }]
    }
}

/// Escapes control characters. A message repeats names of a pod that the API server has not validated yet.
pub(crate) fn escape_controls(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_no_control_characters() {
        let skip = Skip::PortInUse {
            container: "a\n\u{1b}[31mé".to_owned(),
        };
        let message = skip.message();
        assert!(
            message.contains(r"the container a\n\u{1b}[31mé uses port"),
            "{message}"
        );
    }
}
