//! Why a pod is left as it is. Each reason has a name, which stands in the annotation, the event and the metric.

use pushscale_api::names::{SIDECAR_CONTAINER, TRUST_VOLUME, annotations, inject};
use pushscale_protocol::SIDECAR_PORT;
use serde_json::Value;
use thiserror::Error;

use crate::change::{Change, Step};

/// Why a pod is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Skip {
    /// The pod's label says so.
    #[error("the pod's label {} is {}", inject::LABEL, inject::DISABLED)]
    OptedOut,
    /// The label means nothing.
    #[error(
        "the label {} is {value:?}: it must be {} or {}",
        inject::LABEL,
        inject::ENABLED,
        inject::DISABLED
    )]
    InvalidLabel {
        /// What it says.
        value: String,
    },
    /// Kubernetes' own pods.
    #[error("pods of the namespace {namespace} are Kubernetes' own: move the pod to another one")]
    SystemNamespace {
        /// Which.
        namespace: String,
    },
    /// Pushscale's own pods.
    #[error("pods of the namespace {namespace} are Pushscale's own: move the pod to another one")]
    OwnNamespace {
        /// Which.
        namespace: String,
    },
    /// The kubelet runs it, and not the API server.
    #[error(
        "the kubelet runs this pod from a file, and what the API server has is a copy: add the sidecar to the file"
    )]
    StaticPod,
    /// By this version, or by hand.
    #[error("the pod has a container {SIDECAR_CONTAINER} already")]
    AlreadyInjected,
    /// By another version, in a file most likely.
    #[error(
        "the pod has the sidecar of Pushscale {version} already: take it out of the file with \
         `pushscale inject --uninject`, or inject the file again"
    )]
    InjectedByOtherVersion {
        /// Which, as the annotation says.
        version: String,
    },
    /// There is no sidecar for Windows.
    #[error("the pod runs on Windows, for which there is no sidecar")]
    WindowsNode,
    /// The ports are the node's.
    #[error(
        "the pod is in the network of its node (hostNetwork), where only one pod can have port {SIDECAR_PORT}: \
         set hostNetwork: false, or add the sidecar by hand with a port of its own (PUSHSCALE_SIDECAR_LISTEN)"
    )]
    HostNetwork,
    /// A container beside one that ends would keep the pod from ending.
    #[error(
        "the pod ends by itself (restartPolicy {restart_policy}), and this cluster has no native sidecars, which \
         end with it: Kubernetes 1.29 has"
    )]
    WouldNotFinish {
        /// What the pod says.
        restart_policy: String,
    },
    /// An annotation's value cannot be used.
    #[error("{annotation} is {value:?}: it must be {expected}")]
    InvalidAnnotation {
        /// Its key.
        annotation: String,
        /// Its value, its beginning if it is long.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// Several containers, and none is TorchServe's.
    #[error(
        "none of the containers {} is named torchserve or kserve-container or has an image named so: name it by \
         the annotation {}",
        .containers.join(", "),
        annotations::CONTAINER
    )]
    TorchServeNotFound {
        /// Their names.
        containers: Vec<String>,
    },
    /// Several containers, and more than one is TorchServe's.
    #[error(
        "several containers have an image of TorchServe ({}): name the one by the annotation {}",
        .containers.join(", "),
        annotations::CONTAINER
    )]
    TorchServeAmbiguous {
        /// Their names.
        containers: Vec<String>,
    },
    /// Somebody has the sidecar's port.
    #[error(
        "the container {container} has port {SIDECAR_PORT}, which is the sidecar's: give it another port"
    )]
    PortInUse {
        /// Who.
        container: String,
    },
    /// Somebody has the volume's name.
    #[error("the pod has a volume {TRUST_VOLUME}, which is the sidecar's: give it another name")]
    VolumeNameInUse,
}

impl Skip {
    /// The reason's name.
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
            Self::TorchServeNotFound { .. } => "TorchServeNotFound",
            Self::TorchServeAmbiguous { .. } => "TorchServeAmbiguous",
            Self::PortInUse { .. } => "PortInUse",
            Self::VolumeNameInUse => "VolumeNameInUse",
        }
    }

    /// Is all as it should be? Who opted out wants silence, and a pod that both webhooks select comes twice.
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::OptedOut | Self::AlreadyInjected)
    }

    /// Is it a mistake in what the user wrote?
    pub fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::InvalidAnnotation { .. } | Self::InvalidLabel { .. }
        )
    }

    /// What the pod's annotation says: the name and the sentence.
    pub fn told(&self) -> String {
        format!("{}: {self}", self.reason())
    }

    /// What is changed of the pod all the same: the annotation that says why, unless that is expected. The copy of
    /// a static pod must stay what it is: it is not ours to write into.
    pub fn changes(&self) -> Vec<Change> {
        if self.is_expected() || *self == Self::StaticPod {
            return Vec::new();
        }
        vec![Change::Set {
            parent: vec![Step::Key("metadata"), Step::Key("annotations")],
            key: annotations::SKIPPED.to_owned(),
            value: Value::from(self.told()),
        }]
    }
}
