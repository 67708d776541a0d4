//! Reads a PushScaler from a YAML file without a cluster, and rejects what `kubectl apply` would reject, with the same
//! error messages.
//!
//! Nothing here knows a field of the PushScaler. The rules come from the generated definition ([`PushScaler::crd`]), in
//! the order in which kubectl and the API server apply them:
//!
//! | step | module | in the cluster |
//! | --- | --- | --- |
//! | YAML 1.1 to JSON | `text` | kubectl |
//! | types in metadata; nulls dropped | `metadata`, `fields` | kubectl |
//! | unknown fields | `fields` | the API server's strict decoding |
//! | defaults | `fields` | the API server |
//! | names, labels, annotations | `names` | the API server |
//! | types, bounds, patterns, enums | `structure` | kube-openapi |
//! | `x-kubernetes-validations` | `rules`, by `kube-cel` | CEL |
//!
//! Only the keywords that the definition uses are validated; a test fails if it uses another one.
//!
//! The messages are those of Kubernetes 1.37. `tests/tests/cluster` compares them with a real API server.
//!
//! Not checked, because it needs a cluster: whether the namespace exists, webhooks, the cost budget of CEL rules, and
//! rules that compare an update with the stored object.

mod definition;
mod error;
mod fields;
mod go;
mod metadata;
mod names;
mod problem;
mod rules;
mod schema;
mod structure;
mod text;

use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;

pub use definition::Definition;
pub use error::{DefinitionError, ManifestError};

/// Reads one PushScaler from YAML, with the API server's defaults.
///
/// # Errors
///
/// Fails if the text is not a manifest of one PushScaler, or if `kubectl apply` would reject it. The error does not
/// name the file: the caller knows it.
pub fn read(yaml: &str) -> Result<PushScaler, ManifestError> {
    let crd = serde_json::to_value(PushScaler::crd()).map_err(DefinitionError::Parse)?;
    let object = Definition::from_crd(&crd)?.read(yaml)?;
    // What the schema leaves open (`x-kubernetes-preserve-unknown-fields`) may still not be a PushScaler.
    serde_json::from_value(object).map_err(ManifestError::Unreadable)
}
