//! The result of a conversion.

use serde_json::Value;
use thiserror::Error;

/// A PushScaler, and what it does not take over.
#[derive(Clone, Debug, PartialEq)]
pub struct Adopted {
    /// The PushScaler.
    pub manifest: Value,
    /// What differs from the other autoscaler, and what to do next.
    pub notes: Vec<String>,
}

/// Why an autoscaler cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum AdoptError {
    /// The object is of another kind or version.
    #[error(
        "{found} is neither a HorizontalPodAutoscaler of autoscaling/v1, v2, v2beta1 or v2beta2 nor a ScaledObject of keda.sh/v1alpha1"
    )]
    UnknownKind {
        /// apiVersion and kind.
        found: String,
    },
    #[error(
        "{found} cannot be printed as autoscaling/v2: --print-hpa reads HorizontalPodAutoscalers of autoscaling/v2, v2beta1 and v2beta2"
    )]
    NotConvertible {
        /// apiVersion and kind.
        found: String,
    },
    #[error("{field} is missing: is the file complete?")]
    Missing { field: &'static str },
    #[error(
        "the HorizontalPodAutoscaler has no metric …queue_latency_microseconds whose target could be the target latency: pass one with --target, such as half the service time"
    )]
    NoTarget,
    #[error(
        "the target latency of a ScaledObject is missing: pass one with --target, such as half the service time"
    )]
    NoTrigger,
    #[error(
        "the target of …queue_latency_microseconds is {text:?}: it must be a quantity above 0 such as 7000000m"
    )]
    Quantity { text: String },
    #[error("the annotation {name} is not JSON: {problem}")]
    Annotation { name: &'static str, problem: String },
}

/// Returns the value of a required field.
pub(super) fn required(value: &Value, field: &'static str) -> Result<Value, AdoptError> {
    match value {
        Value::Null => Err(AdoptError::Missing { field }),
        value => Ok(value.clone()),
    }
}

/// Returns apiVersion and kind, for a message.
pub(super) fn type_of(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    format!("{} {}", text("apiVersion"), text("kind"))
        .trim()
        .to_owned()
}
