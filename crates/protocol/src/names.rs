//! Where the two sides meet. Kubernetes' names (labels, conditions) are in the `api` crate.

/// The version of the message that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The path that readings are POSTed to.
pub const PUSH_PATH: &str = "/v1/readings";

/// The aggregator takes readings here.
pub const AGGREGATOR_PUSH_PORT: u16 = 8490;

/// The aggregator's `/live`, `/ready`, `/metrics`, `/debug/scalers` and status page.
pub const AGGREGATOR_ADMIN_PORT: u16 = 8491;

/// The sidecar's `/live`, `/ready`, `/metrics` and `/reading`. Clear of TorchServe's ports (7070, 7071, 8080
/// to 8082, 9000 and up) and KServe's (8085).
pub const SIDECAR_PORT: u16 = 8492;
