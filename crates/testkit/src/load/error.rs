//! Errors of a load.

/// Why [`RunningLoad::start`](super::RunningLoad::start) failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// There are no steps.
    #[error("no steps: give at least one rate with its duration")]
    NoStep,
    /// A step is invalid.
    #[error(
        "invalid step {step}: {rate} requests/s for {seconds} s: both must be finite, the rate at least 0, the duration \
         above 0"
    )]
    Step {
        /// The index of the step, from 0.
        step: usize,
        /// Requests per second.
        rate: f64,
        /// The duration.
        seconds: f64,
    },
    /// The number of requests is limited, because the results of all requests are kept.
    #[error(
        "too many requests: about {requests:.0}, at most {most} are possible; shorten the steps"
    )]
    TooMany {
        /// The number that follows from the rates and durations.
        requests: f64,
        /// The limit.
        most: u32,
    },
    /// The path, host or content type would break the request's head.
    #[error("invalid request head {text:?}: it has a space, a control character or no leading '/'")]
    Head {
        /// The invalid text.
        text: String,
    },
}
