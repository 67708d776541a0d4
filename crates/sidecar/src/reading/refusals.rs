//! Whose failures they were: answers of status 5xx are counted for the whole server.

use std::time::Duration;

use crate::scrape::Queue;

/// What speaks for a model having turned requests away since the last scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RefusalShare {
    /// It may have: its queue is full, or was.
    pub(super) full: bool,
    /// Requests that arrived.
    pub(super) arrived: f64,
    /// Of them, those beyond what its queue and its workers can have taken in; 0 where it is not known how long they
    /// take.
    pub(super) excess: f64,
}

impl RefusalShare {
    pub(super) fn new(
        arrived: f64,
        grown: f64,
        elapsed: Duration,
        queue: &Queue,
        was_full: bool,
        service: Option<f64>,
    ) -> Self {
        let hands = queue.workers_ready * queue.batch_size;
        let taken = service.map(|seconds| elapsed.as_secs_f64() * hands / seconds.max(1e-6));
        Self {
            // A queue is full for the moment between two batches only; each worker may have taken one since.
            full: was_full || queue.capacity_left <= hands,
            arrived: arrived.max(0.0),
            excess: taken.map_or(0.0, |taken| (arrived - grown - taken).max(0.0)),
        }
    }
}

/// The share of the server's failures that is each model's.
///
/// A model that is alone has them all. Of several, those have them whose queues are full: in proportion to what they
/// cannot have taken in, or, where that says nothing, to what arrived. Without a full queue they are nobody's.
pub(super) fn shares(claims: &[RefusalShare]) -> Vec<f64> {
    if let [_] = claims {
        return vec![1.0];
    }
    let by_excess: Vec<f64> = claims.iter().map(|claim| claim.excess).collect();
    let by_arrivals: Vec<f64> = claims.iter().map(|claim| claim.arrived).collect();
    let measured = by_excess.iter().sum::<f64>() > 0.0;
    let mut weights = if measured { by_excess } else { by_arrivals };
    for (weight, claim) in weights.iter_mut().zip(claims) {
        if !claim.full {
            *weight = 0.0;
        }
    }
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        weights.iter_mut().for_each(|weight| *weight /= sum);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(arrived: f64, grown: f64, service: Option<f64>) -> RefusalShare {
        let queue = Queue {
            pending: 20.0,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        let second = Duration::from_secs(1);
        RefusalShare::new(arrived, grown, second, &queue, true, service)
    }

    fn roomy(arrived: f64) -> RefusalShare {
        let queue = Queue {
            capacity_left: 90.0,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        let second = Duration::from_secs(1);
        RefusalShare::new(arrived, 0.0, second, &queue, false, Some(0.1))
    }

    #[test]
    fn a_model_alone_has_them_all_whatever_its_queue() {
        assert_eq!(shares(&[roomy(0.0)]), [1.0]);
    }

    #[test]
    fn the_full_ones_have_them_by_what_they_cannot_have_taken() {
        // 20/s at 10/s: 10 turned away. 100/s at 95/s: 5. The third has room.
        let claims = [
            full(20.0, 0.0, Some(0.1)),
            full(100.0, 0.0, Some(1.0 / 95.0)),
            roomy(50.0),
        ];
        let shares = shares(&claims);
        assert!((shares[0] - 2.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert!((shares[1] - 1.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert_eq!(shares[2], 0.0);
    }

    #[test]
    fn without_service_times_they_have_them_by_what_arrived() {
        let claims = [full(30.0, 0.0, None), full(10.0, 0.0, None)];
        assert_eq!(shares(&claims), [0.75, 0.25]);
    }

    #[test]
    fn without_a_full_queue_they_are_nobodys() {
        assert_eq!(shares(&[roomy(10.0), roomy(20.0)]), [0.0, 0.0]);
        assert_eq!(shares(&[]), [0.0; 0]);
    }
}
