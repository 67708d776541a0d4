//! The load of a fleet in a past period, for records of the load.

use std::ops::Range;

use crate::model::ModelState;

/// The share of a period for which pods must have reported. With less the load is unknown.
const MIN_PERIOD_COVERAGE: f64 = 0.5;

/// The load of a fleet in a period. With several models, of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeasuredLoad {
    /// Mean arrivals per second; `None` if too few pods reported.
    pub rate: Option<f64>,
    /// Mean service time of the completed requests in seconds; `None` if none was completed.
    pub service: Option<f64>,
}

impl MeasuredLoad {
    /// Sums up the models in these seconds since the origin.
    pub(crate) fn measure(models: &[ModelState], seconds: Range<u64>) -> Self {
        let length = seconds.end.saturating_sub(seconds.start) as f64;
        let (mut rate, mut completed, mut served) = (None, 0.0, 0.0);
        for model in models {
            let sums = model.measured(seconds.clone());
            if sums.seconds >= MIN_PERIOD_COVERAGE * length && sums.seconds > 0.0 {
                rate = Some(rate.unwrap_or_default() + sums.rate());
                completed += sums.completed;
                served += sums.served;
            }
        }
        Self {
            rate,
            service: (completed > 0.0).then(|| served / completed),
        }
    }
}
