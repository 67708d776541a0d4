//! Why a load does not start.

/// Every way in which [`RunningLoad::start`](super::RunningLoad::start) can fail.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Nothing to do.
    #[error("start a load without steps: give at least one rate with its duration")]
    NoStep,
    /// A step's numbers make no sense.
    #[error(
        "start step {step} of {rate} requests/s for {seconds} s: both must be finite, the rate \
         at least 0, the duration above 0"
    )]
    Step {
        /// From 0.
        step: usize,
        /// Requests per second.
        rate: f64,
        /// How long.
        seconds: f64,
    },
    /// The results of every request are kept, so their number is bounded.
    #[error("send about {requests:.0} requests: at most {most} fit; shorten the steps")]
    TooMany {
        /// By rates and durations.
        requests: f64,
        /// The bound.
        most: u32,
    },
    /// The path, host or content type would break the request's head.
    #[error("put {text:?} into a request: it has a space, a control character or no leading '/'")]
    Head {
        /// What was given.
        text: String,
    },
}
