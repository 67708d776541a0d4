//! What one sidecar says to one aggregator: `POST /v1/readings`, JSON, the version in the body.
//!
//! Old sidecars talk to new aggregators for weeks. So the files in `testdata/*-v1.json` parse for ever, a
//! field that is not known passes, and a version that is not known is a clear error. Every number has its unit
//! in its name; absent is `null` or left out, and never zero.

mod answer;
mod limits;
mod names;
mod push;
mod validate;

pub use answer::{ErrorBody, PushResponse};
pub use limits::{MAX_AGE_SECONDS, MAX_BODY_BYTES, MAX_MODELS, MAX_NAME_BYTES};
pub use names::{
    AGGREGATOR_ADMIN_PORT, AGGREGATOR_PUSH_PORT, CA_CONFIG_MAP, CA_FILE, CREDENTIALS_DIR,
    DRAIN_DEADLINE, DRAIN_PATH, INJECTOR_ADMIN_PORT, INJECTOR_PORT, MAX_DRAIN_DEADLINE,
    MAX_SCRAPE_INTERVAL, MIN_DRAIN_DEADLINE, MIN_SCRAPE_INTERVAL, PUSH_PATH, SIDECAR_ENV_PREFIX,
    SIDECAR_PORT, TLS_CERTIFICATE_FILE, TLS_DIR, TLS_KEY_FILE, TOKEN_AUDIENCE, TOKEN_FILE,
    TORCHSERVE_MANAGEMENT_PORT, TORCHSERVE_METRICS_PORT, VERSION,
};
pub use push::{Basis, Model, Pod, PortState, Push, Server, Sidecar, State};
pub use validate::ParseError;
