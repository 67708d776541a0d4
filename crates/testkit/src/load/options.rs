//! The options of a load: its requests, targets and schedule.

use std::net::SocketAddr;
use std::time::Duration;

use super::{LoadError, Targets};

/// Maximum requests of a load. The result of each request is kept in memory and takes about 32 bytes.
const MAX_REQUESTS: u32 = 10_000_000;

/// The options of a load. Start from [`LoadOptions::to`].
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The targets of the requests.
    pub targets: Targets,
    /// The escaped path of the request line, with a leading `/`.
    pub path: String,
    /// The header `Host`.
    pub host: String,
    /// The header `Content-Type`.
    pub content_type: String,
    /// The body of every request.
    pub body: Vec<u8>,
    /// The steps, which follow each other without a gap.
    pub steps: Vec<Step>,
    /// The distribution of requests within a step.
    pub arrivals: Arrivals,
    /// Whether requests reuse connections.
    pub connections: Connections,
    /// The limit for the time from departure to the last byte of the response.
    pub timeout: Duration,
    /// Maximum requests in flight. Further requests are not sent, and are recorded as
    /// [`Outcome::NotSent`](super::Outcome::NotSent).
    pub max_in_flight: usize,
}

/// A period with a constant rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Requests per second; 0 is a pause.
    pub rate: f64,
    /// The duration.
    pub seconds: f64,
}

/// The distribution of requests within a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal intervals. The first request is sent at once.
    Even,
    /// With random intervals (Poisson), like independent users. The same seed gives the same times.
    Poisson {
        /// Seed for the random intervals.
        seed: u64,
    },
}

/// Whether connections are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Opens a new connection for each request. A Service balances connections, not requests.
    PerRequest,
    /// Reuses idle connections to the same target.
    KeepAlive,
}

impl LoadOptions {
    /// Returns options that post `{}` as JSON to TorchServe's model `sleepy`, at equal intervals, with a new connection
    /// per request, a timeout of 120 s, and at most 1000 requests in flight.
    pub fn to(target: SocketAddr, steps: Vec<Step>) -> Self {
        Self {
            targets: Targets::Fixed(target),
            path: "/predictions/sleepy".to_owned(),
            host: "localhost".to_owned(),
            content_type: "application/json".to_owned(),
            body: b"{}".to_vec(),
            steps,
            arrivals: Arrivals::Even,
            connections: Connections::PerRequest,
            timeout: Duration::from_secs(120),
            max_in_flight: 1000,
        }
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        if self.steps.is_empty() {
            return Err(LoadError::NoStep);
        }
        for (step, &Step { rate, seconds }) in self.steps.iter().enumerate() {
            let fits = rate.is_finite() && rate >= 0.0 && seconds.is_finite() && seconds > 0.0;
            if !fits {
                return Err(LoadError::Step {
                    step,
                    rate,
                    seconds,
                });
            }
        }
        let requests: f64 = self.steps.iter().map(|s| s.rate * s.seconds).sum();
        if requests > f64::from(MAX_REQUESTS) {
            return Err(LoadError::TooMany {
                requests,
                most: MAX_REQUESTS,
            });
        }
        let breaks = |text: &str| text.chars().any(char::is_control);
        let path_breaks = breaks(&self.path) || self.path.contains(' ');
        for (text, wrong) in [
            (&self.path, path_breaks || !self.path.starts_with('/')),
            (&self.host, breaks(&self.host)),
            (&self.content_type, breaks(&self.content_type)),
        ] {
            if wrong {
                return Err(LoadError::Head { text: text.clone() });
            }
        }
        Ok(())
    }

    /// Returns the bytes of a request, which are the same for all targets.
    pub(super) fn request(&self) -> Vec<u8> {
        let mut bytes = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.host,
            self.content_type,
            self.body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(steps: &[(f64, f64)]) -> LoadOptions {
        let steps = steps.iter().map(|&(rate, seconds)| Step { rate, seconds });
        LoadOptions::to(SocketAddr::from(([127, 0, 0, 1], 1)), steps.collect())
    }

    #[test]
    fn invalid_steps_are_rejected_by_index() {
        assert_eq!(options(&[]).check(), Err(LoadError::NoStep));
        for (rate, seconds) in [
            (-1.0, 1.0),
            (1.0, 0.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            let error = options(&[(1.0, 1.0), (rate, seconds)]).check();
            assert!(
                matches!(error, Err(LoadError::Step { step: 1, .. })),
                "{error:?}"
            );
        }
        let error = options(&[(1e6, 1e6)]).check();
        assert!(matches!(error, Err(LoadError::TooMany { .. })));
        assert_eq!(options(&[(2.0, 1.0), (0.0, 5.0)]).check(), Ok(()));
    }

    #[test]
    fn a_head_cannot_be_broken() {
        for path in ["predictions", "/a b", "/a\r\nX: y"] {
            let mut options = options(&[(1.0, 1.0)]);
            options.path = path.to_owned();
            assert!(
                matches!(options.check(), Err(LoadError::Head { .. })),
                "{path}"
            );
        }
    }
}
