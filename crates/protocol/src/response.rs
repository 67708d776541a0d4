//! The aggregator's responses.

use serde::{Deserialize, Serialize};

/// The body of a 200: the reading was accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PushResponse {
    /// The scrape interval that the aggregator requests, in seconds; absent if it requests none. A sidecar uses the
    /// longest of its configured one and those that its aggregators request, and none of these is over
    /// [`MAX_REQUESTED_INTERVAL`](crate::MAX_REQUESTED_INTERVAL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<f64>,
    /// The aggregator remembers this pod's token for the connection: further pushes over it need none, until one of
    /// them is answered with 401. Only over TLS, where nothing between the two can join connections of several pods.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub token_remembered: bool,
}

/// The body of every other status, on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The error and what to do about it, for an operator.
    pub error: String,
}
