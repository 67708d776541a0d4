//! The profile of TorchServe: the only place that knows its names. Facts measured on 0.12.0.

mod management;
mod metrics;

pub use management::{ModelList, Queues, describe_path, list_path};
pub use metrics::read_page;

/// The profile's name in a push.
pub const PROFILE: &str = "torchserve";

/// Where the metrics are.
pub const METRICS_PATH: &str = "/metrics";

/// Where TorchServe serves metrics, unless configured.
pub const METRICS_PORT: u16 = 8082;

/// Where TorchServe serves its management API, unless configured. KServe's image has it on 8085.
pub const MANAGEMENT_PORT: u16 = 8081;
