//! What the aggregator says back.

use serde::{Deserialize, Serialize};

/// The body of a `200`: the reading was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushResponse {
    /// From now on, push this often, in seconds; absent: go on as you do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<f64>,
}

/// The body of every other status, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What was wrong and what to do, for a person.
    pub error: String,
}
