//! The wait in a queue, by the formulas of Erlang and of Allen and Cunneen.

use crate::numbers::to_u32_saturating;

/// The highest utilisation that is planned; near 1 a wait is unpredictable.
pub(crate) const MAX_UTILISATION: f64 = 0.92;

/// With this many workers behind one queue, [`MAX_UTILISATION`] alone decides for any sensible target; the sum over
/// the workers would dominate the time of a decision.
const MAX_SUMMED_LOAD: f64 = 2000.0;

/// Returns the probability that a request waits (Erlang C), for Poisson arrivals and exponential service.
///
/// `load` is the offered load in workers; with `workers` or more the result is 1.
pub(crate) fn erlang_c(load: f64, workers: u32) -> f64 {
    if load <= 0.0 {
        return 0.0;
    }
    if load >= f64::from(workers) {
        return 1.0;
    }
    // C from B.
    from_blocked(erlang_b(load, workers), load, f64::from(workers))
}

/// Returns the probability that all workers are busy if no request waits (Erlang B), by its recursion, which is stable.
pub(crate) fn erlang_b(load: f64, workers: u32) -> f64 {
    (1..=workers).fold(1.0, |blocked, k| {
        load * blocked / (f64::from(k) + load * blocked)
    })
}

fn from_blocked(blocked: f64, load: f64, workers: f64) -> f64 {
    let rho = load / workers;
    blocked / (1.0 - rho * (1.0 - blocked))
}

/// The variability of the service time: the factor of Allen and Cunneen for Poisson arrivals, multiplied by the
/// calibration. 1 for exponential service.
pub(crate) type Variability = f64;

/// The statistic of the wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wait {
    /// The mean.
    Mean,
    /// The wait that this share of all requests exceeds.
    Exceeded(f32),
}

impl Wait {
    /// Returns the wait in one queue with `workers`, in units of the service time; infinite if they are overloaded.
    ///
    /// Mean: `v · C(W, a) / (W − a)` (Allen–Cunneen; Kingman for one worker). Exceeded by a share `q`: the
    /// exponential tail of the same queue, `v · ln(C / q) / (W − a)`, or 0 if less than `q` of the requests wait.
    pub(crate) fn at(self, load: f64, workers: u32, variability: Variability) -> f64 {
        let spare = f64::from(workers) - load;
        if spare <= 0.0 {
            return f64::INFINITY;
        }
        self.with_probability(erlang_c(load, workers), spare, variability)
    }

    /// Returns the wait, in units of the service time, if a request waits with the probability `waiting`, and then for
    /// 1 / `spare` service times on average.
    pub(super) fn with_probability(
        self,
        waiting: f64,
        spare: f64,
        variability: Variability,
    ) -> f64 {
        match self {
            Self::Mean => variability * waiting / spare,
            Self::Exceeded(share) => {
                let times = waiting / f64::from(share);
                variability * times.max(1.0).ln() / spare
            }
        }
    }
}

/// Returns the highest utilisation of a pod whose queue meets the target, 0 to [`MAX_UTILISATION`].
///
/// `target` is in units of the service time.
pub(crate) fn utilisation(wait: Wait, target: f64, workers: u32, variability: Variability) -> f64 {
    highest(MAX_UTILISATION, |rho| {
        wait.at(rho * f64::from(workers), workers, variability) <= target
    })
}

/// Returns the share of requests that a queue for `limit` waiting requests rejects, by the M/M/c/K formula.
pub(crate) fn rejected(load: f64, workers: u32, limit: f64) -> f64 {
    let rho = load / f64::from(workers);
    let blocked = erlang_b(load, workers);
    let full = rho.powf(limit);
    // The probabilities of all states with waiting requests, relative to that of busy workers and an empty queue.
    let waiting = if (1.0 - rho).abs() < 1e-9 {
        limit
    } else {
        rho * (1.0 - full) / (1.0 - rho)
    };
    blocked * full / (1.0 + blocked * waiting)
}

/// Returns the highest number from 0 to `limit` that fits, if all lower ones do as well; 30 bisections find it.
pub(super) fn highest(limit: f64, fits: impl Fn(f64) -> bool) -> f64 {
    if fits(limit) {
        return limit;
    }
    let (mut low, mut high) = (0.0, limit);
    for _ in 0..30 {
        let middle = (low + high) / 2.0;
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Returns the smallest number of pods, with `workers` each, whose shared queue meets the target with at most
/// [`MAX_UTILISATION`]; at most `max`.
pub(crate) fn pooled_pods(
    wait: Wait,
    target: f64,
    load: f64,
    workers: u32,
    variability: Variability,
    max: u32,
) -> u32 {
    let by_bound = (load / (f64::from(workers) * MAX_UTILISATION))
        .ceil()
        .max(1.0);
    if load > MAX_SUMMED_LOAD {
        return to_u32_saturating(by_bound).min(max);
    }
    let mut blocked = 1.0;
    let mut pods = 0;
    loop {
        pods += 1;
        for k in (pods - 1) * workers + 1..=pods * workers {
            blocked = load * blocked / (f64::from(k) + load * blocked);
        }
        let all = f64::from(pods * workers);
        let enough = f64::from(pods) >= by_bound
            && wait.with_probability(from_blocked(blocked, load, all), all - load, variability)
                <= target;
        if enough || pods >= max {
            return pods;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-3 * expected.max(0.1),
            "{found} is not {expected}"
        );
    }

    #[test]
    fn erlang_c_agrees_with_the_closed_forms_and_with_tables() {
        for tenth in 1..10 {
            let rho = f64::from(tenth) / 10.0;
            near(erlang_c(rho, 1), rho);
            near(erlang_c(2.0 * rho, 2), 2.0 * rho * rho / (1.0 + rho));
        }
        // Tables of the Erlang C formula: load, workers, probability of waiting.
        for (load, workers, waiting) in [
            (2.0, 3, 0.4444),
            (3.0, 4, 0.5094),
            (5.0, 7, 0.3241),
            (10.0, 12, 0.4494),
            (20.0, 25, 0.2091),
        ] {
            near(erlang_c(load, workers), waiting);
        }
        near(erlang_c(4.0, 4), 1.0);
        near(erlang_c(0.0, 4), 0.0);
    }

    #[test]
    fn mean_waits_match_m_m_1_and_m_m_2() {
        // M/M/1: Wq = ρ / (1 − ρ) · S; M/M/2: Wq = ρ² / (1 − ρ²) · S.
        for tenth in 1..10 {
            let rho = f64::from(tenth) / 10.0;
            near(Wait::Mean.at(rho, 1, 1.0), rho / (1.0 - rho));
            near(
                Wait::Mean.at(2.0 * rho, 2, 1.0),
                rho * rho / (1.0 - rho * rho),
            );
        }
        // M/M/1: the wait exceeds t with probability ρ · exp(−(1 − ρ) t).
        let wait = Wait::Exceeded(0.05).at(0.8, 1, 1.0);
        near(0.8 * (-0.2 * wait).exp(), 0.05);
        near(Wait::Exceeded(0.05).at(0.04, 1, 1.0), 0.0);
    }

    #[test]
    fn rejections_agree_with_the_closed_forms() {
        for tenth in 1..14 {
            let rho = f64::from(tenth) / 10.0;
            // M/M/1/K with K = 1 + 4 requests in the system: (1 − ρ) ρᴷ / (1 − ρᴷ⁺¹).
            let expected = if tenth == 10 {
                1.0 / 6.0
            } else {
                (1.0 - rho) * rho.powi(5) / (1.0 - rho.powi(6))
            };
            near(rejected(rho, 1, 4.0), expected);
            // Without a place to wait: Erlang B.
            near(rejected(4.0 * rho, 4, 0.0), erlang_b(4.0 * rho, 4));
        }
    }

    #[test]
    fn utilisation_grows_with_the_target_and_the_number_of_workers() {
        let at =
            |target, workers, variability| utilisation(Wait::Mean, target, workers, variability);
        for workers in [1, 2, 4, 8] {
            for target in [0.05, 0.2, 0.5, 1.0] {
                assert!(at(target * 1.5, workers, 1.0) > at(target, workers, 1.0));
                assert!(at(target, workers + 1, 1.0) > at(target, workers, 1.0));
                assert!(at(target, workers, 1.5) < at(target, workers, 1.0));
            }
        }
        near(at(0.5, 4, 1.0), 0.7474);
        near(at(1e9, 4, 1.0), MAX_UTILISATION);
    }

    #[test]
    fn a_shared_queue_needs_no_more_pods_than_separate_queues() {
        for load in [0.3, 2.0, 7.7, 31.0, 180.0] {
            for workers in [1, 2, 4, 8] {
                let own = load / (f64::from(workers) * utilisation(Wait::Mean, 0.5, workers, 1.0));
                let common = pooled_pods(Wait::Mean, 0.5, load, workers, 1.0, 10_000);
                assert!(f64::from(common) <= own.ceil(), "{load} {workers}");
                assert!(f64::from(common) * f64::from(workers) * MAX_UTILISATION >= load);
                let fewer = (common - 1) * workers;
                let kept = Wait::Mean.at(load, fewer, 1.0) <= 0.5;
                let bound = load <= f64::from(fewer) * MAX_UTILISATION;
                assert!(common == 1 || !(kept && bound), "{load} {workers}");
            }
        }
        assert_eq!(pooled_pods(Wait::Mean, 0.5, 1e9, 4, 1.0, 77), 77);
    }
}
