//! A PushScaler from a YAML file, without a cluster, refused where `kubectl apply` would refuse it and in the same
//! sentence.
//!
//! Nothing here knows a field of the PushScaler. What it may hold is read from the generated definition
//! ([`PushScaler::crd`]), by the steps that kubectl and the API server take:
//!
//! | step | module | who does it there |
//! | --- | --- | --- |
//! | YAML to JSON, as YAML 1.1 | `text` | kubectl |
//! | metadata of the right types; nulls dropped | `metadata`, `prune` | kubectl |
//! | unknown fields | `prune` | the API server's strict decoding |
//! | defaults | `default` | the API server |
//! | names, labels, annotations | `names` | the API server |
//! | types, bounds, patterns, … | `structure` | the API server, by kube-openapi |
//! | `x-kubernetes-list-type` | `lists` | the API server |
//! | `x-kubernetes-validations` | `rules` | the API server, by CEL |
//!
//! The sentences are those of Kubernetes 1.37. `tests/tests/cluster` holds each against a real API server.
//!
//! Not looked at, because it takes a cluster: whether the namespace exists, what webhooks say, the cost budget of
//! CEL rules, and what an update compares with the stored object.

mod default;
mod definition;
mod error;
mod go;
mod lists;
mod metadata;
mod names;
mod problem;
mod prune;
mod rules;
mod schema;
mod structure;
mod text;

use kube::CustomResourceExt as _;
use pushscale_api::PushScaler;

pub use definition::{Definition, DefinitionError};
pub use error::ManifestError;

/// Reads one PushScaler from YAML, with the API server's defaulting, or says everything that kubectl would say.
///
/// The text has no name here: who read it from a file puts the file's name before the error.
///
/// # Errors
///
/// The text is no manifest of one PushScaler, or one that `kubectl apply` would refuse.
pub fn read(yaml: &str) -> Result<PushScaler, ManifestError> {
    let object = definition()?.read(yaml)?;
    // What the schema leaves open (`x-kubernetes-preserve-unknown-fields`) can still be no PushScaler.
    serde_json::from_value(object).map_err(ManifestError::Unreadable)
}

/// What the generated definition says of a PushScaler.
fn definition() -> Result<Definition, DefinitionError> {
    let crd = serde_json::to_value(PushScaler::crd()).map_err(DefinitionError::Read)?;
    Definition::from_crd(&crd)
}
