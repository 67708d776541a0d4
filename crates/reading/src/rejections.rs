//! Attributes 5xx responses to models: TorchServe counts them for the whole server.

use std::time::Duration;

use crate::scrape::Queue;

/// The evidence that a model rejected requests since the last scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RejectionShare {
    /// Whether its queue is or was full.
    pub(super) full: bool,
    /// Arrivals.
    pub(super) arrived: f64,
    /// Arrivals that exceed what its queue and workers can have accepted; 0 if the service time is unknown.
    pub(super) excess: f64,
}

impl RejectionShare {
    pub(super) fn new(
        arrived: f64,
        grown: f64,
        elapsed: Duration,
        queue: &Queue,
        was_full: bool,
        service: Option<f64>,
    ) -> Self {
        let slots = queue.slots();
        let accepted = service.map(|seconds| elapsed.as_secs_f64() * slots / seconds.max(1e-6));
        Self {
            // Workers take batches from a full queue, so room for one batch per worker counts as full.
            full: was_full || queue.capacity_left <= slots,
            arrived: arrived.max(0.0),
            excess: accepted.map_or(0.0, |accepted| (arrived - grown - accepted).max(0.0)),
        }
    }
}

/// Returns each model's share of the server's 5xx responses.
///
/// A sole model has all of them. Several models with full queues share them in proportion to their excess, or to their
/// arrivals if no excess is known. Without a full queue, no model has any.
pub(super) fn shares(models: &[RejectionShare]) -> Vec<f64> {
    if let [_] = models {
        return vec![1.0];
    }
    let by_excess: Vec<f64> = models.iter().map(|model| model.excess).collect();
    let by_arrivals: Vec<f64> = models.iter().map(|model| model.arrived).collect();
    let measured = by_excess.iter().sum::<f64>() > 0.0;
    let mut weights = if measured { by_excess } else { by_arrivals };
    for (weight, model) in weights.iter_mut().zip(models) {
        if !model.full {
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

    fn full(arrived: f64, grown: f64, service: Option<f64>) -> RejectionShare {
        let queue = Queue {
            waiting: 20.0,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        let second = Duration::from_secs(1);
        RejectionShare::new(arrived, grown, second, &queue, true, service)
    }

    fn roomy(arrived: f64) -> RejectionShare {
        let queue = Queue {
            capacity_left: 90.0,
            workers_ready: 1.0,
            batch_size: 1.0,
            ..Queue::default()
        };
        let second = Duration::from_secs(1);
        RejectionShare::new(arrived, 0.0, second, &queue, false, Some(0.1))
    }

    #[test]
    fn a_sole_model_gets_every_failure() {
        assert_eq!(shares(&[roomy(0.0)]), [1.0]);
    }

    #[test]
    fn models_with_full_queues_share_failures_by_excess() {
        // 20/s at 10/s: 10 rejected. 100/s at 95/s: 5. The third has a free queue.
        let models = [
            full(20.0, 0.0, Some(0.1)),
            full(100.0, 0.0, Some(1.0 / 95.0)),
            roomy(50.0),
        ];
        let shares = shares(&models);
        assert!((shares[0] - 2.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert!((shares[1] - 1.0 / 3.0).abs() < 1e-9, "{shares:?}");
        assert_eq!(shares[2], 0.0);
    }

    #[test]
    fn without_service_times_failures_are_shared_by_arrivals() {
        let models = [full(30.0, 0.0, None), full(10.0, 0.0, None)];
        assert_eq!(shares(&models), [0.75, 0.25]);
    }

    #[test]
    fn without_a_full_queue_no_model_gets_failures() {
        assert_eq!(shares(&[roomy(10.0), roomy(20.0)]), [0.0, 0.0]);
        assert_eq!(shares(&[]), [0.0; 0]);
    }
}
