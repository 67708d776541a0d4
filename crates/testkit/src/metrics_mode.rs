//! TorchServe's setting `metrics_mode`.

/// What `GET /metrics` answers. TorchServe's own default is [`MetricsMode::Log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsMode {
    /// Every metric; what Pushscale needs.
    #[default]
    Prometheus,
    /// Only the three `ts_*` counters.
    Legacy,
    /// Nothing: 200 with an empty body.
    Log,
}

impl MetricsMode {
    /// The word in `config.properties`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Legacy => "legacy",
            Self::Log => "log",
        }
    }
}
