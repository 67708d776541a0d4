//! Sizes that both sides keep to.

/// The largest body an aggregator reads, in bytes. [`MAX_MODELS`] models with ordinary names fit.
pub const MAX_BODY_BYTES: usize = 128 * 1024;

/// The most models in one reading.
pub const MAX_MODELS: usize = 256;

/// The longest name of a model, pod or namespace, in bytes. Kubernetes stops at 253; TorchServe nowhere.
pub const MAX_NAME_BYTES: usize = 253;

/// The oldest reading worth taking, in seconds.
pub const MAX_AGE_SECONDS: f64 = 60.0;

/// A count or a sum beyond this is no measurement: doubles stop counting in ones at 2^53.
pub(crate) const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// A wait beyond this is no measurement: eleven days, in seconds.
pub(crate) const MAX_WAIT_SECONDS: f64 = 1e6;

/// The slowest pace that a sidecar may keep, in seconds.
pub(crate) const MAX_INTERVAL_SECONDS: f64 = 3600.0;
