//! What a scaler has learned over weeks, so that it survives a restart.
//!
//! A [`Checkpoint`] is plain data in wall-clock time. It may be changed where it is stored: each value is checked when
//! it is restored, and a value out of range is ignored. A value that is absent is unknown, never zero.

use std::sync::Arc;
use std::time::Duration;

use crate::moment::Moment;
use crate::snapshot::{Snapshot, Visit, visit};

/// The service time of a checkpoint is at most this, in seconds.
const MAX_SERVICE_SECONDS: f64 = 86_400.0;

/// What a scaler has learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The start delay; `None` if no start was observed.
    pub start_delay: Option<ObservedStarts>,
    /// The models. [`Checkpoint::MAX_MODELS`] of them are restored.
    pub models: Vec<ModelCheckpoint>,
}

/// The start delay and the starts that it was learned from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservedStarts {
    /// The time from the creation of a pod until it is ready, in seconds.
    pub seconds: f64,
    /// The number of starts.
    pub count: u32,
}

/// What was learned about one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCheckpoint {
    /// Its name.
    pub name: Arc<str>,
    /// The service time in seconds, if it was measured.
    pub service_seconds: Option<f64>,
    /// How much predicting the load of each period ago would have saved.
    pub savings: Vec<PeriodSaving>,
    /// The arrival rates of the last hour and of the last week, with one bucket length each.
    pub rates: Vec<RateSeries>,
}

visit!(ModelCheckpoint: name, service_seconds, savings, rates);

/// How much predicting the load of one period ago would have saved, with less weight for the distant past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeriodSaving {
    /// The period in seconds.
    pub period: u64,
    /// The saving in seconds of the whole fleet; negative if it would have cost more than it saved.
    pub saving: f64,
}

visit!(PeriodSaving: period, saving);

/// The highest arrival rate in each of consecutive buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateSeries {
    /// The length of a bucket in seconds. Buckets begin at multiples of it.
    pub bucket_seconds: u64,
    /// The number of the first bucket since the Unix epoch.
    pub first_bucket: u64,
    /// Requests per second, the oldest first; `None` if the rate is unknown.
    pub rates: Vec<Option<f32>>,
}

visit!(RateSeries: bucket_seconds, first_bucket, rates);

/// The time of day at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The moment.
    pub now: Moment,
    /// The time since the Unix epoch then.
    pub unix: Duration,
}

impl Checkpoint {
    /// The number of models that a scaler tracks, and that a checkpoint contains. The state of one takes about 19 kB,
    /// and up to 200 bytes per pod.
    pub const MAX_MODELS: usize = 32;

    /// The maximum number of series, and of savings, of a model that are read: more than there are.
    pub const MAX_SERIES: usize = 16;

    /// The number of rates in a series: 144 a day for a week, the current one and the oldest one.
    pub const MAX_RATES: usize = 7 * 144 + 2;
}

impl Clock {
    /// Returns how many buckets the Unix epoch is before the origin of moments. Both have buckets at multiples of their
    /// length; the nearest ones correspond.
    fn buckets_before_origin(self, bucket_seconds: u64) -> i128 {
        let bucket = i128::from(bucket_seconds.max(1));
        let seconds =
            i128::from(self.unix.as_secs()) - i128::from(self.now.since_origin().as_secs());
        (seconds + bucket / 2).div_euclid(bucket)
    }
}

impl ModelCheckpoint {
    /// Moves the series from wall-clock time to moments.
    pub(crate) fn moved_to_moments(&self, clock: Clock) -> Self {
        let series =
            |series| RateSeries::moved(series, |bucket| -clock.buckets_before_origin(bucket));
        Self {
            savings: self
                .savings
                .iter()
                .take(Checkpoint::MAX_SERIES)
                .copied()
                .collect(),
            rates: self
                .rates
                .iter()
                .take(Checkpoint::MAX_SERIES)
                .map(series)
                .collect(),
            ..self.clone()
        }
    }

    /// Moves the series from moments to wall-clock time.
    pub(crate) fn moved_to_wall_clock(mut self, clock: Clock) -> Self {
        for series in &mut self.rates {
            *series = series.moved(|bucket| clock.buckets_before_origin(bucket));
        }
        self
    }

    /// Returns the service time in seconds, if it is plausible.
    pub(crate) fn service(&self) -> Option<f64> {
        self.service_seconds
            .filter(|seconds| *seconds > 0.0 && *seconds <= MAX_SERVICE_SECONDS)
    }
}

impl RateSeries {
    /// Returns the series with its buckets renumbered, without those that have no number then.
    fn moved(&self, buckets: impl Fn(u64) -> i128) -> Self {
        let first = i128::from(self.first_bucket) + buckets(self.bucket_seconds);
        let dropped = usize::try_from(-first).unwrap_or(0);
        let rates = self.rates.iter().take(Checkpoint::MAX_RATES);
        Self {
            bucket_seconds: self.bucket_seconds,
            first_bucket: u64::try_from(first.max(0)).unwrap_or(u64::MAX),
            rates: rates.skip(dropped).copied().collect(),
        }
    }
}

/// Models of a checkpoint that no pod has reported since, in moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestoredModels(pub(crate) Vec<ModelCheckpoint>);

impl Visit for RestoredModels {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.0.visit(snapshot);
    }
}

impl RestoredModels {
    /// Takes what was learned about a model that a pod reports.
    pub(crate) fn take(&mut self, name: &str) -> Option<ModelCheckpoint> {
        let index = self.0.iter().position(|model| *model.name == *name)?;
        Some(self.0.swap_remove(index))
    }
}
