//! Errors of a load.

/// Why [`RunningLoad::start`](super::RunningLoad::start) failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum LoadError {
    #[error("no steps: give at least one rate with its duration")]
    NoStep,
    #[error(
        "invalid step {step}: {rate} requests/s for {seconds} s: both must be finite, the rate at least 0, the duration \
         above 0"
    )]
    Step {
        /// The index of the step, from 0.
        step: usize,
        rate: f64,
        seconds: f64,
    },
    /// The number of requests is limited, because the results of all requests are kept.
    #[error(
        "too many requests: about {requests:.0}, at most {most} are possible; shorten the steps"
    )]
    TooMany { requests: f64, most: u32 },
    #[error("invalid request head {text:?}: it has a space, a control character or no leading '/'")]
    Head { text: String },
}
