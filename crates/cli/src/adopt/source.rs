//! The autoscaler that a PushScaler replaces, as the user names it.

use std::fmt;
use std::str::FromStr;

use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;

/// The kind of an autoscaler that can be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A HorizontalPodAutoscaler.
    Hpa,
    /// KEDA's ScaledObject.
    ScaledObject,
}

/// An autoscaler by kind and name: `hpa/NAME` or `scaledobject/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Hpa => "HorizontalPodAutoscaler",
            Self::ScaledObject => "ScaledObject",
        }
    }

    /// Returns the version that is read and written. The API server converts every version that it stores.
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, plural) = match self {
            Self::Hpa => ("autoscaling", "v2", "horizontalpodautoscalers"),
            Self::ScaledObject => ("keda.sh", "v1alpha1", "scaledobjects"),
        };
        let kind = GroupVersionKind::gvk(group, version, self.as_str());
        ApiResource::from_gvk_with_plural(&kind, plural)
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once('/').unwrap_or_default();
        let kind = match kind {
            "hpa" | "horizontalpodautoscaler" => Kind::Hpa,
            "so" | "scaledobject" => Kind::ScaledObject,
            _ => return Err("must be hpa/NAME or scaledobject/NAME".to_owned()),
        };
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Source {
    /// Writes the source as the user names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Hpa => "hpa",
            Kind::ScaledObject => "scaledobject",
        };
        write!(f, "{kind}/{}", self.name)
    }
}
