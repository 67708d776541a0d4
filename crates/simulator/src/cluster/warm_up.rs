//! Servers that are slow after their start.

/// A period after a server's start in which each batch takes longer, for instance because its caches are cold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// The seconds from the time at which the pod becomes ready; 0 for none.
    pub seconds: f64,
    /// The factor on the service time of the batches that start in this time.
    pub factor: f64,
}

impl Default for WarmUp {
    fn default() -> Self {
        Self {
            seconds: 0.0,
            factor: 1.0,
        }
    }
}
