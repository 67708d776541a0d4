//! The times at which requests are due.

use super::{Arrivals, Step};

/// Yields pairs of the seconds since the start of the load and the step, in order.
#[derive(Debug)]
pub(super) struct Schedule {
    steps: Vec<Step>,
    random: Option<fastrand::Rng>,
    step: usize,
    /// The start of the current step, in seconds.
    base: f64,
    /// The number of requests of the current step so far.
    sent: u32,
    /// The time of the last request, in seconds since the start of the step.
    last: f64,
}

impl Schedule {
    pub(super) fn new(steps: Vec<Step>, arrivals: Arrivals) -> Self {
        Self {
            steps,
            random: match arrivals {
                Arrivals::Even => None,
                Arrivals::Poisson { seed } => Some(fastrand::Rng::with_seed(seed)),
            },
            step: 0,
            base: 0.0,
            sent: 0,
            last: 0.0,
        }
    }

    /// Returns the time of the next request, in seconds since the start of the step.
    fn offset(&mut self, rate: f64) -> f64 {
        match &mut self.random {
            // A product instead of a sum, so that rounding errors do not accumulate.
            None => f64::from(self.sent) / rate,
            // 1 - f64() is never 0, where the logarithm would be infinite.
            Some(random) => self.last - (1.0 - random.f64()).ln() / rate,
        }
    }
}

impl Iterator for Schedule {
    type Item = (f64, usize);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Step { rate, seconds } = *self.steps.get(self.step)?;
            if rate > 0.0 {
                let offset = self.offset(rate);
                if offset < seconds {
                    self.sent += 1;
                    self.last = offset;
                    return Some((self.base + offset, self.step));
                }
            }
            self.base += seconds;
            self.step += 1;
            self.sent = 0;
            self.last = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(steps: &[(f64, f64)], arrivals: Arrivals) -> Vec<(f64, usize)> {
        let steps = steps.iter().map(|&(rate, seconds)| Step { rate, seconds });
        Schedule::new(steps.collect(), arrivals).collect()
    }

    #[test]
    fn even_steps_follow_one_another_and_a_rate_of_zero_is_a_pause() {
        assert_eq!(
            schedule(&[(2.0, 1.0), (0.0, 3.0), (4.0, 0.6)], Arrivals::Even),
            [(0.0, 0), (0.5, 0), (4.0, 2), (4.25, 2), (4.5, 2)]
        );
    }

    #[test]
    fn an_even_step_has_exactly_its_number_of_requests() {
        for (rate, seconds, count) in [(20.0, 8.0, 160), (9.3, 10.0, 93), (0.1, 3.0, 1)] {
            assert_eq!(schedule(&[(rate, seconds)], Arrivals::Even).len(), count);
        }
    }

    #[test]
    fn poisson_keeps_the_rate_and_repeats_with_its_seed() {
        let of = |seed| schedule(&[(100.0, 100.0)], Arrivals::Poisson { seed });
        let times = of(5);
        assert!((9_700..10_300).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!(times, of(5));
        assert_ne!(times, of(6));
    }
}
