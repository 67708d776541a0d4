//! The distribution of the service times.

use rand::RngExt as _;
use rand_distr::{Distribution as _, StandardNormal};

use super::random::Random;

/// A Pareto distribution with a maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pareto {
    /// The exponent, above 1. The lower it is, the heavier is the tail.
    pub exponent: f64,
    /// The maximum service time, as a multiple of the mean.
    pub max: f64,
}

/// A share of the requests that take longer than the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LongRequests {
    /// The share of the requests, from 0 to 1.
    pub share: f64,
    /// How many times as long as the others they take.
    pub factor: f64,
}

/// Draws service times with a mean of 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServiceTimes {
    shape: Shape,
    long_requests: Option<LongRequests>,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Lognormal {
        /// Mean and standard deviation of the logarithm.
        mean: f64,
        deviation: f64,
    },
    Pareto {
        min: f64,
        distribution: Pareto,
    },
}

impl ServiceTimes {
    /// `cv` is the coefficient of variation of the lognormal distribution.
    pub(super) fn new(
        cv: f64,
        pareto: Option<Pareto>,
        long_requests: Option<LongRequests>,
    ) -> Self {
        let deviation = (1.0 + cv * cv).ln().sqrt();
        let shape = match pareto {
            Some(distribution) => Shape::Pareto {
                min: distribution.min(),
                distribution,
            },
            None => Shape::Lognormal {
                mean: -deviation * deviation / 2.0,
                deviation,
            },
        };
        Self {
            shape,
            long_requests,
        }
    }

    pub(super) fn draw(&self, random: &mut Random) -> f64 {
        let time = match self.shape {
            Shape::Lognormal { mean, deviation } => {
                let normal: f64 = StandardNormal.sample(random);
                (mean + deviation * normal).exp()
            }
            Shape::Pareto { min, distribution } => {
                // From above 0 to 1.
                let uniform = 1.0 - random.random::<f64>();
                (min * uniform.powf(-1.0 / distribution.exponent)).min(distribution.max)
            }
        };
        match self.long_requests {
            Some(long) if random.random::<f64>() < long.share => time * long.factor * long.short(),
            Some(long) => time * long.short(),
            None => time,
        }
    }
}

impl Pareto {
    /// Returns the minimum at which the mean is 1. The mean grows with it.
    fn min(&self) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.mean(middle) < 1.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    fn mean(&self, min: f64) -> f64 {
        min + min.powf(self.exponent) * self.integral(1.0, min)
    }

    pub(super) fn mean_square(&self) -> f64 {
        let min = self.min();
        min * min + 2.0 * min.powf(self.exponent) * self.integral(2.0, min)
    }

    /// Returns the integral of `x^(power - 1 - exponent)` from the minimum to the maximum.
    fn integral(&self, power: f64, min: f64) -> f64 {
        let power = power - self.exponent;
        if power.abs() < 1e-9 {
            (self.max / min).ln()
        } else {
            (self.max.powf(power) - min.powf(power)) / power
        }
    }
}

impl LongRequests {
    /// Returns the mean service time of the other requests, as a multiple of the mean of all.
    fn short(&self) -> f64 {
        1.0 / (1.0 - self.share + self.share * self.factor)
    }

    pub(super) fn mean_square(&self) -> f64 {
        let squares = 1.0 - self.share + self.share * self.factor * self.factor;
        squares * self.short() * self.short()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::cluster::ClusterSpec;

    /// Returns the mean and the squared coefficient of variation of many service times, and the latter as computed.
    fn moments(change: impl FnOnce(&mut ClusterSpec)) -> (f64, f64, f64) {
        let mut spec = ClusterSpec::default();
        change(&mut spec);
        let times = ServiceTimes::new(spec.cv, spec.pareto, spec.long_requests);
        let mut random = Random::seed_from_u64(1);
        let count = 2_000_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..count {
            let time = times.draw(&mut random);
            sum += time;
            squares += time * time;
        }
        let mean = sum / f64::from(count);
        let squared_cv = squares / f64::from(count) / (mean * mean) - 1.0;
        (mean, squared_cv, spec.squared_cv())
    }

    #[test]
    fn service_times_have_a_mean_of_1_and_the_computed_variation() {
        let pareto = |exponent, max| moments(|spec| spec.pareto = Some(Pareto { exponent, max }));
        let long_requests = |share, factor| {
            moments(|spec| spec.long_requests = Some(LongRequests { share, factor }))
        };
        for (name, least, (mean, drawn, computed)) in [
            ("lognormal", 0.9, moments(|_| {})),
            ("an infinite variance, cut off", 5.0, pareto(1.5, 100.0)),
            ("the exponent 2", 1.0, pareto(2.0, 100.0)),
            ("the exponent 3", 0.2, pareto(3.0, 100.0)),
            ("a hundredth is long", 40.0, long_requests(0.01, 100.0)),
            ("a tenth is long", 10.0, long_requests(0.1, 30.0)),
        ] {
            assert!((mean - 1.0).abs() < 0.03, "{name}: the mean is {mean}");
            assert!(
                (drawn / computed - 1.0).abs() < 0.1,
                "{name}: {drawn}, not {computed}"
            );
            assert!(computed > least, "{name}: {computed}");
        }
    }
}
