//! Limits that sidecars and aggregators agree on.

use std::time::Duration;

/// Maximum size of a body, in bytes. It fits [`MAX_MODELS`] models with ordinary names.
pub const MAX_BODY_BYTES: usize = 128 * 1024;

/// Maximum number of models in one reading.
pub const MAX_MODELS: usize = 256;

/// Maximum length of the name of a model, pod or namespace, in bytes. It is Kubernetes' limit; TorchServe has none.
pub const MAX_NAME_BYTES: usize = 253;

/// Maximum age of a reading, in seconds.
pub const MAX_AGE_SECONDS: f64 = 60.0;

/// Maximum of a counter or a sum, 2^53: above it, doubles cannot represent every integer.
pub(crate) const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// Maximum of a latency, in seconds: eleven days.
pub(crate) const MAX_WAIT_SECONDS: f64 = 1e6;

/// Maximum scrape interval, in seconds: [`MAX_SCRAPE_INTERVAL`](crate::MAX_SCRAPE_INTERVAL). A reading is fresh for
/// three of them, so a longer one would keep a silent pod fresh for long.
pub(crate) const MAX_INTERVAL_SECONDS: f64 = 60.0;

/// Maximum scrape interval that an aggregator requests: the queueing model needs a reading at least every few seconds.
pub const MAX_REQUESTED_INTERVAL: Duration = Duration::from_secs(3);
