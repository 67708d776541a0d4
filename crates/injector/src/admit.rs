//! From the bytes of a question to the bytes of its answer. No IO, no clock: what becomes of a question is a value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use pushscale_api::names::annotations;
use serde::Deserialize as _;
use serde_json::Value;
use thiserror::Error;

use crate::change::apply;
use crate::facts::{Facts, Sidecar};
use crate::inject::{Outcome, inject};
use crate::review::{self, Answer, Request, Response, Review};

/// A question and what becomes of it.
#[derive(Debug)]
pub struct Admitted {
    /// The answer, as JSON. It always lets the pod in.
    pub body: Vec<u8>,
    /// What is counted.
    pub count: Count,
    /// What is told of the pod's owner.
    pub telling: Option<Telling>,
}

/// What is counted: how it ended, and the reason's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// `Injected`, `Skipped`, or what else can be.
    pub outcome: &'static str,
    /// The reason's name; none for a pod that got all it should.
    pub reason: &'static str,
}

/// An event of the pod's owner: the pod itself is not there yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Whom it is about.
    pub owner: ObjectReference,
    /// The reason's name.
    pub reason: &'static str,
    /// The sentence.
    pub note: String,
}

/// No question that could be answered.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It is no AdmissionReview.
    #[error("this is no AdmissionReview: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another version.
    #[error(
        "apiVersion is {0:?}: set admissionReviewVersions: [v1] in the webhook's configuration"
    )]
    Version(String),
    /// A review that asks nothing.
    #[error("the AdmissionReview has no request: send what the API server sends")]
    NoRequest,
}

/// The API server cuts warnings off that are longer.
const LONGEST_WARNING: usize = 250;

/// Answers one question.
///
/// # Errors
/// If it is no question. Whatever it asks for is let in.
pub fn admit(body: &[u8], sidecar: &Sidecar, native_sidecar: bool) -> Result<Admitted, Malformed> {
    let review: Review = serde_json::from_slice(body)?;
    if review.api_version != review::VERSION {
        return Err(Malformed::Version(
            review.api_version.chars().take(40).collect(),
        ));
    }
    let mut request = review.request.ok_or(Malformed::NoRequest)?;
    if !request.operation.is_empty() && request.operation != "CREATE" {
        return as_it_is(&request, "NotCreated", Vec::new());
    }
    let pod = match Pod::deserialize(&request.object) {
        Ok(pod) => pod,
        Err(error) => {
            let warning = warned(&format!(
                "UnreadablePod: no pod that is understood here: {error}"
            ));
            return as_it_is(&request, "UnreadablePod", vec![warning]);
        }
    };
    let facts = Facts {
        namespace: &request.namespace,
        native_sidecar,
        sidecar,
    };
    let outcome = inject(&pod, &facts);
    let said = Said::of(&outcome);
    let was = annotation(&request.object);
    let patch = apply(&outcome.changes(), &mut request.object);
    // Two webhook entries may ask for the same pod; what has been told is not told again.
    let new = was.as_ref() != annotation(&request.object).as_ref();
    let told = said.told.filter(|_| new);
    let telling = told
        .as_ref()
        .filter(|_| request.dry_run != Some(true))
        .and_then(|note| {
            Some(Telling {
                owner: owner(&pod, &request.namespace)?,
                reason: said.count.reason,
                note: note.clone(),
            })
        });
    let warnings = told.iter().map(|told| warned(told)).collect();
    let patch = if patch.is_empty() {
        None
    } else {
        Some(STANDARD.encode(serde_json::to_vec(&patch)?))
    };
    Ok(Admitted {
        body: answer(&request, patch, warnings)?,
        count: said.count,
        telling,
    })
}

/// What is said of an outcome beside the patch.
struct Said {
    count: Count,
    told: Option<String>,
}

impl Said {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Injected(injection) => Self {
                count: Count {
                    outcome: "Injected",
                    reason: injection.notes.first().map_or("", |note| note.reason()),
                },
                told: injection.notes.first().map(|note| note.told()),
            },
            Outcome::Skipped(skip) => Self {
                count: Count {
                    outcome: "Skipped",
                    reason: skip.reason(),
                },
                told: (!skip.is_expected()).then(|| skip.told()),
            },
        }
    }
}

fn as_it_is(
    request: &Request,
    reason: &'static str,
    warnings: Vec<String>,
) -> Result<Admitted, Malformed> {
    Ok(Admitted {
        body: answer(request, None, warnings)?,
        count: Count {
            outcome: "Skipped",
            reason,
        },
        telling: None,
    })
}

fn answer(
    request: &Request,
    patch: Option<String>,
    warnings: Vec<String>,
) -> Result<Vec<u8>, Malformed> {
    let answer = Answer {
        api_version: review::VERSION,
        kind: "AdmissionReview",
        response: Response {
            uid: &request.uid,
            allowed: true,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            warnings,
        },
    };
    Ok(serde_json::to_vec(&answer)?)
}

fn warned(told: &str) -> String {
    let text: String = format!("pushscale: {told}")
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(LONGEST_WARNING)
        .collect();
    text
}

fn annotation(pod: &Value) -> Option<Value> {
    let annotations = pod.get("metadata")?.get("annotations")?;
    annotations.get(annotations::SKIPPED).cloned()
}

/// Who made the pod, such as its ReplicaSet.
fn owner(pod: &Pod, namespace: &str) -> Option<ObjectReference> {
    let owners = pod.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(ObjectReference {
        api_version: Some(owner.api_version.clone()),
        kind: Some(owner.kind.clone()),
        name: Some(owner.name.clone()),
        namespace: Some(namespace.to_owned()),
        uid: Some(owner.uid.clone()),
        ..ObjectReference::default()
    })
}
