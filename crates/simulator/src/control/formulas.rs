//! Queue latency by the formulas of Erlang, Allen and Cunneen.

use crate::quantity::to_u32_saturating;

/// Returns the probability that a request waits (Erlang C), for an offered load in Erlang. The load is rounded first,
/// like in the reference, which caches the results.
fn erlang_c(load: f64, servers: u32) -> f64 {
    let load = if load > 5.0 {
        (load * 100.0).round_ties_even() / 100.0
    } else {
        (load * 1000.0).round_ties_even() / 1000.0
    };
    if load <= 0.0 {
        return 0.0;
    }
    if load >= f64::from(servers) {
        return 1.0;
    }
    let mut blocked = 1.0;
    for server in 1..=servers {
        blocked = load * blocked / (f64::from(server) + load * blocked);
    }
    let busy = load / f64::from(servers);
    blocked / (1.0 - busy * (1.0 - blocked))
}

/// Returns the mean wait in seconds. `variability` is the mean of the squared coefficients of variation of the
/// interarrival and service times. If `pooled`, all pods share one queue, otherwise each pod has its own queue.
pub fn mean_wait_of(
    rate: f64,
    service: f64,
    workers: u32,
    pods: f64,
    variability: f64,
    pooled: bool,
) -> f64 {
    let per_pod = f64::from(workers);
    let load = rate * service;
    if pooled {
        let all = pods * per_pod;
        if load >= all {
            return f64::INFINITY;
        }
        return variability * erlang_c(load, to_u32_saturating(all)) * service / (all - load);
    }
    let own = load / pods;
    variability * erlang_c(own, workers) * service / (per_pod - own).max(1e-9)
}

/// Returns [`mean_wait_of`] for Poisson arrivals and exponential service times.
pub(crate) fn mean_wait(rate: f64, service: f64, workers: u32, pods: f64, pooled: bool) -> f64 {
    mean_wait_of(rate, service, workers, pods, 1.0, pooled)
}

/// Returns the maximum utilisation, up to `most`, at which a pod with its own queue meets the target.
pub fn occupancy(target: f64, service: f64, workers: u32, most: f64) -> f64 {
    let per_pod = f64::from(workers);
    let keeps = |busy: f64| {
        erlang_c(busy * per_pod, workers) * service / (per_pod * (1.0 - busy)) <= target
    };
    if keeps(most) {
        return most;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if keeps(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two_servers_agree_with_their_closed_forms() {
        for busy in [0.1, 0.5, 0.9] {
            assert!((erlang_c(busy, 1) - busy).abs() < 1e-9);
            let two = 2.0 * busy * busy / (1.0 + busy);
            assert!((erlang_c(2.0 * busy, 2) - two).abs() < 1e-9);
        }
    }

    #[test]
    fn waits_of_four_workers_match_the_specification() {
        // Utilisation, mean wait in milliseconds at a service time of 100 ms.
        for (busy, expected) in [(0.5, 9.0), (0.7, 36.0), (0.8, 75.0), (0.95, 446.0)] {
            let wait = 1e3 * mean_wait(busy * 40.0, 0.1, 4, 1.0, false);
            assert!((wait - expected).abs() < 0.5, "{busy}: {wait}");
        }
        let most = occupancy(0.05, 0.1, 4, 0.92);
        assert!((most - 0.75).abs() < 0.005, "{most}");
    }
}
