//! The service time of a model.

use std::time::Duration;

/// The time in which a worker processes one batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ServiceTime {
    /// A constant time.
    Fixed(Duration),
    /// A random time with a lognormal distribution.
    Lognormal {
        /// The mean, not the median.
        mean: Duration,
        /// The standard deviation of the logarithm. With 0.5, nine of ten values differ by at most a factor of 5.
        sigma: f64,
    },
}

impl ServiceTime {
    pub(crate) fn draw(self, random: &mut fastrand::Rng) -> Duration {
        match self {
            Self::Fixed(time) => time,
            Self::Lognormal { mean, sigma } => {
                // exp(N(0, s)) has the mean exp(s*s/2).
                let spread = (sigma * standard_normal(random) - sigma * sigma / 2.0).exp();
                // A value that exceeds the maximum Duration is practically infinite.
                Duration::try_from_secs_f64(mean.as_secs_f64() * spread).unwrap_or(Duration::MAX)
            }
        }
    }
}

/// Draws from the standard normal distribution with the Box-Muller transform.
fn standard_normal(random: &mut fastrand::Rng) -> f64 {
    // 1 - f64() is never 0, where the logarithm would be infinite.
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lognormal_service_times_keep_their_mean() {
        let service = ServiceTime::Lognormal {
            mean: Duration::from_millis(100),
            sigma: 0.5,
        };
        let mut random = fastrand::Rng::with_seed(7);
        let draws: Vec<f64> = (0..20_000)
            .map(|_| service.draw(&mut random).as_secs_f64())
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((0.098..0.102).contains(&mean), "{mean}");
        assert!(draws.iter().any(|d| *d > 0.2) && draws.iter().any(|d| *d < 0.05));
    }
}
