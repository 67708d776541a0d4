//! Answers an AdmissionReview. Pure: no I/O and no clock.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use json_patch::PatchOperation;
use k8s_openapi::api::core::v1::ObjectReference;
use pushscale_api::names::annotations;
use pushscale_kubernetes::truncate_note;
use pushscale_protocol::JsonError;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::change::apply;
use crate::facts::{Facts, Sidecar};
use crate::inject::{Outcome, inject};
use crate::json;
use crate::pod::Pod;
use crate::review::{self, Request, Response, Review, ReviewResponse};
use crate::torchserve::ChosenContainer;

/// The API server truncates longer warnings.
const MAX_WARNING_CHARS: usize = 250;

/// A reviewed pod. It is always allowed.
#[derive(Debug)]
pub struct Admitted {
    /// The response as JSON.
    pub body: Vec<u8>,
    /// The container that was identified as TorchServe's; `None` if the pod gets no sidecar.
    pub container: Option<ChosenContainer>,
    /// Why the pod, or a part of it, was not injected, in UpperCamelCase; empty if it was.
    pub reason: &'static str,
    /// The event to write.
    pub event: Option<OwnerEvent>,
}

/// An event about the owner of a pod. The pod itself does not exist yet.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerEvent {
    /// The owner, such as a ReplicaSet.
    pub owner: ObjectReference,
    /// The event's reason.
    pub reason: &'static str,
    /// The event's note.
    pub note: String,
}

/// A request that is not a valid AdmissionReview.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum InvalidReview {
    #[error("not an AdmissionReview")]
    Parse(#[source] JsonError),
    #[error(
        "apiVersion is {0:?}: set admissionReviewVersions: [v1] in the webhook's configuration"
    )]
    Version(String),
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

impl From<serde_json::Error> for InvalidReview {
    fn from(error: serde_json::Error) -> Self {
        Self::Parse(error.into())
    }
}

/// Answers an AdmissionReview.
///
/// # Errors
///
/// Fails if the body is not a valid AdmissionReview. A pod is always allowed.
pub fn admit(
    body: &[u8],
    sidecar: &Sidecar,
    native_sidecar: bool,
) -> Result<Admitted, InvalidReview> {
    let review: Review<'_> = json::parse(body)?;
    if review.api_version != review::VERSION {
        return Err(InvalidReview::Version(
            review.api_version.chars().take(40).collect(),
        ));
    }
    let request = review.request.ok_or(InvalidReview::NoRequest)?;
    if !request.operation.is_empty() && request.operation != "CREATE" {
        return unchanged(&request, "NotCreated", Vec::new());
    }
    let object = request.object.map_or("null", RawValue::get);
    let pod = match Pod::parse(object.as_bytes()) {
        Ok(pod) => pod,
        Err(error) => {
            let warning = warning(&format!("UnreadablePod: failed to parse the pod: {error}"));
            return unchanged(&request, "UnreadablePod", vec![warning]);
        }
    };
    let facts = Facts {
        namespace: &request.namespace,
        container: None,
        native_sidecar,
        sidecar,
    };
    let outcome = inject(&pod, &facts);
    let (reason, message) = reason_and_message(&outcome);
    let mut skeleton = pod.skeleton();
    let before = skipped_annotation(&skeleton);
    let patch = apply(&outcome.changes(), &mut skeleton);
    // Both entries of the webhook may select the same pod. The second review repeats no message.
    let is_new = before != skipped_annotation(&skeleton);
    let message = message.filter(|_| is_new);
    let event = message
        .as_ref()
        .filter(|_| request.dry_run != Some(true))
        .and_then(|note| {
            Some(OwnerEvent {
                owner: owner(&pod, &request.namespace)?,
                reason,
                note: truncate_note(note.clone()),
            })
        });
    let warnings = message.iter().map(|message| warning(message)).collect();
    Ok(Admitted {
        body: review_response(&request, &patch, warnings)?,
        container: match outcome {
            Outcome::Injected(injection) => Some(injection.container),
            Outcome::Skipped(_) => None,
        },
        reason,
        event,
    })
}

/// Returns the reason's name, and the message unless the user needs none.
fn reason_and_message(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Injected(injection) => match injection.notes.first() {
            Some(note) => (note.reason(), Some(note.message())),
            None => ("", None),
        },
        Outcome::Skipped(skip) => (skip.reason(), (!skip.is_expected()).then(|| skip.message())),
    }
}

fn unchanged(
    request: &Request<'_>,
    reason: &'static str,
    warnings: Vec<String>,
) -> Result<Admitted, InvalidReview> {
    Ok(Admitted {
        body: review_response(request, &[], warnings)?,
        container: None,
        reason,
        event: None,
    })
}

fn review_response(
    request: &Request<'_>,
    patch: &[PatchOperation],
    warnings: Vec<String>,
) -> Result<Vec<u8>, serde_json::Error> {
    let patch = match patch {
        [] => None,
        patch => Some(STANDARD.encode(serde_json::to_vec(patch)?)),
    };
    serde_json::to_vec(&ReviewResponse {
        api_version: review::VERSION,
        kind: "AdmissionReview",
        response: Response {
            uid: &request.uid,
            allowed: true,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            warnings,
        },
    })
}

fn warning(message: &str) -> String {
    format!("pushscale: {message}")
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(MAX_WARNING_CHARS)
        .collect()
}

fn skipped_annotation(pod: &Value) -> Option<Value> {
    let annotations = pod.get("metadata")?.get("annotations")?;
    annotations.get(annotations::SKIPPED).cloned()
}

/// Returns the pod's controller, such as its ReplicaSet.
fn owner(pod: &Pod<'_>, namespace: &str) -> Option<ObjectReference> {
    let owners = &pod.metadata.as_ref()?.owner_references;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(ObjectReference {
        api_version: Some(owner.api_version.to_string()),
        kind: Some(owner.kind.to_string()),
        name: Some(owner.name.to_string()),
        namespace: Some(namespace.to_owned()),
        uid: Some(owner.uid.to_string()),
        ..ObjectReference::default()
    })
}
