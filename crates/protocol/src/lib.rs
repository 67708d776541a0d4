//! The push message from sidecar to aggregator: `POST /v1/readings`, JSON, with the version in the body.
//!
//! Old sidecars push to new aggregators for weeks. Therefore the files in `testdata/*-v1.json` must always parse,
//! unknown fields are ignored, and an unknown version has its own error. Names of numbers end in their unit. A
//! missing value is `null` or omitted, never zero.

mod json_error;
mod limits;
mod names;
mod push;
mod response;
mod validate;

pub use json_error::JsonError;
pub use limits::{
    MAX_AGE_SECONDS, MAX_BODY_BYTES, MAX_MODELS, MAX_NAME_BYTES, MAX_REQUESTED_INTERVAL,
};
pub use names::{
    AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT, CA_CONFIG_MAP, CA_FILE, CA_LABEL,
    CERTIFICATES_ADMIN_PORT, CREDENTIALS_DIR, DRAIN_DEADLINE, DRAIN_PATH, EXTERNAL_METRICS_PORT,
    EXTERNAL_METRICS_TLS_DIR, INJECTOR_ADMIN_PORT, INJECTOR_PORT, KEDA_PORT, MAX_DRAIN_DEADLINE,
    MAX_SCRAPE_INTERVAL, MIN_DRAIN_DEADLINE, MIN_SCRAPE_INTERVAL, PUSH_PATH, SIDECAR_ENV_PREFIX,
    SIDECAR_PORT, TLS_CERTIFICATE_FILE, TLS_DIR, TLS_KEY_FILE, TOKEN_AUDIENCE, TOKEN_FILE,
    TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT, VERSION,
};
pub use push::{Basis, Model, Pod, PortState, Push, Server, Sidecar, State};
pub use response::{ErrorBody, PushResponse};
pub use validate::ParseError;
