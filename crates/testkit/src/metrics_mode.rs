//! TorchServe's setting `metrics_mode`.

/// The response of `GET /metrics`. TorchServe's default is [`MetricsMode::Log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsMode {
    /// All metrics. Pushscale needs this mode.
    #[default]
    Prometheus,
    /// Only the three `ts_*` counters.
    Legacy,
    /// No metrics: status 200 with an empty body.
    Log,
}

impl MetricsMode {
    /// Returns the word in `config.properties`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Legacy => "legacy",
            Self::Log => "log",
        }
    }
}
