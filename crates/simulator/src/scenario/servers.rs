//! The keys that describe the servers in the pods.

use super::draft::Draft;
use super::values;
use crate::cluster::{Batching, Pareto};

/// Maximum number of requests in a batch.
const MAX_BATCH_SIZE: u32 = 1024;

impl Draft {
    /// Returns the Pareto distribution of the service time, if it has one.
    pub(super) fn pareto(&mut self) -> Option<Pareto> {
        let pareto = self.optional("pareto", values::pareto);
        if pareto.is_some() && self.get("cv").is_some() {
            let problem = "pareto replaces the lognormal distribution: remove cv";
            self.reject("pareto", problem.to_owned());
        }
        pareto
    }

    /// Returns the batches, for this service time of a single request in seconds.
    pub(super) fn batching(&mut self, service: f64) -> Batching {
        let default = Batching::default();
        let size = self.take("batch", default.size, values::whole(1..=MAX_BATCH_SIZE));
        let growth = self.take("batch-growth", 0.0, values::time_or_zero);
        let batching = Batching {
            size,
            delay: self.take("batch-delay", default.delay, values::time_or_zero),
            growth: growth / service,
        };
        for key in ["batch-delay", "batch-growth"] {
            if size == 1 && self.get(key).is_some() {
                let problem = format!("{key} requires a batch of more than 1 request");
                self.reject(key, problem);
            }
        }
        batching
    }
}
