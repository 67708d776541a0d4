//! TorchServe's metric and field names; no other module uses them. Verified with TorchServe 0.12.0.

mod management;
mod metrics;

pub use management::{ModelList, Queues, RENEW_KEY_PATH, describe_path, list_path};
pub use metrics::read_page;

/// The profile's name in a push.
pub const PROFILE: &str = "torchserve";

/// The default path of the metrics page.
pub const METRICS_PATH: &str = "/metrics";
