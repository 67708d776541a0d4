//! The AdmissionReview of admission.k8s.io/v1, as far as it is used here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json;

/// The only supported version.
pub(crate) const VERSION: &str = "admission.k8s.io/v1";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Review<'a> {
    #[serde(deserialize_with = "json::text", borrow)]
    pub(crate) api_version: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) request: Option<Request<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    #[serde(deserialize_with = "json::text", borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) namespace: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) operation: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::boolean")]
    pub(crate) dry_run: Option<bool>,
    /// The pod, not parsed yet.
    #[serde(default, borrow)]
    pub(crate) object: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewResponse<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) response: Response<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    pub(crate) uid: &'a str,
    pub(crate) allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patch_type: Option<&'static str>,
    /// The JSON patch in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}
