//! The figures of a scaler at one time, for charts.

use pushscale_decision::{Decision, MetricValue, Step};

/// The time between two points, in seconds.
pub(crate) const POINT_SECONDS: i64 = 10;

/// What a chart can show. The value is its index in a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// The arrival rate in requests per second.
    Load,
    /// The queue latency over the pods, in seconds: the highest of the ten seconds.
    Latency,
    /// The target latency in seconds.
    Target,
    /// The service time in seconds.
    ServiceTime,
    /// The share of the workers that the load occupies, 0 to 1 or more.
    Utilisation,
    /// The utilisation that keeps the target latency.
    UtilisationLimit,
    /// Replicas in the target's spec.
    Replicas,
    /// Desired replicas.
    Desired,
    /// Ready pods.
    Ready,
    /// The minimum by schedule.
    Scheduled,
    /// Replicas that an earlier need holds.
    Held,
}

impl Series {
    /// All series, in the order of their places.
    pub(crate) const ALL: [Self; 11] = [
        Self::Load,
        Self::Latency,
        Self::Target,
        Self::ServiceTime,
        Self::Utilisation,
        Self::UtilisationLimit,
        Self::Replicas,
        Self::Desired,
        Self::Ready,
        Self::Scheduled,
        Self::Held,
    ];

    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "requestsPerSecond",
            Self::Latency => "latencySeconds",
            Self::Target => "targetSeconds",
            Self::ServiceTime => "serviceSeconds",
            Self::Utilisation => "utilisation",
            Self::UtilisationLimit => "utilisationLimit",
            Self::Replicas => "replicas",
            Self::Desired => "desiredReplicas",
            Self::Ready => "readyPods",
            Self::Scheduled => "scheduledReplicas",
            Self::Held => "heldReplicas",
        }
    }
}

/// The figures of ten seconds. Small, because there are 360 per scaler and hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Unix time in units of [`POINT_SECONDS`]. Enough for thousands of years.
    number: u32,
    /// NaN is unknown.
    figures: [f32; Series::ALL.len()],
}

impl Point {
    /// Returns the figures of a decision at this Unix time in seconds.
    pub(crate) fn from_decision(decision: &Decision, second: i64) -> Self {
        let mut point = Self::unknown(second);
        let metrics = decision.metrics.iter().rev();
        let metric = metrics.max_by_key(|metric| metric.proposed);
        if let Some(metric) = metric {
            point.set(Series::Latency, metric.average.as_secs_f64());
            point.set(Series::Target, metric.target.as_secs_f64());
        }
        point.set_count(Series::Replicas, decision.current);
        point.set_count(Series::Desired, decision.desired());
        point.set_steps(&decision.steps, metric);
        point
    }

    /// Returns a point at this Unix time in seconds whose figures are unknown.
    pub(crate) fn unknown(second: i64) -> Self {
        Self {
            number: u32::try_from(second.max(0) / POINT_SECONDS).unwrap_or(u32::MAX),
            figures: [f32::NAN; Series::ALL.len()],
        }
    }

    /// Takes the figures from the steps. With several metrics, the load is that of the one that decides.
    fn set_steps(&mut self, steps: &[Step], metric: Option<&MetricValue>) {
        let is_deciding = |model: &Option<_>| metric.is_none_or(|metric| metric.model == *model);
        // The steps of a metric begin with its arrivals.
        let mut applies = true;
        let mut workers = None;
        for step in steps {
            match step {
                Step::Arrivals { model, rate, .. } => {
                    applies = is_deciding(model);
                    if applies {
                        self.set(Series::Load, *rate);
                    }
                }
                Step::Capacity {
                    service,
                    workers: per_pod,
                    utilisation,
                    ..
                } if applies => {
                    self.set(Series::ServiceTime, service.as_secs_f64());
                    self.set(Series::UtilisationLimit, *utilisation);
                    workers = Some(*per_pod);
                }
                Step::Pods { ready, .. } => self.set_count(Series::Ready, Some(*ready)),
                Step::PodGroups {
                    reporting,
                    not_reporting,
                    ..
                } => {
                    self.set_count(Series::Ready, Some(reporting + not_reporting));
                }
                Step::ScheduledFloor { replicas } => {
                    self.set_count(Series::Scheduled, Some(*replicas));
                }
                Step::Held { replicas, .. } if applies => {
                    self.set_count(Series::Held, Some(*replicas));
                }
                _ => {}
            }
        }
        if let (Some(load), Some(service), Some(ready), Some(workers)) = (
            self.get(Series::Load),
            self.get(Series::ServiceTime),
            self.get(Series::Ready),
            workers,
        ) && ready > 0.0
            && workers > 0
        {
            let busy = load * service / (ready * f64::from(workers));
            self.set(Series::Utilisation, busy);
        }
    }

    /// Merges a later point of the same ten seconds.
    pub(super) fn merge(&mut self, later: Self) {
        let highest = self.figures[Series::Latency as usize];
        *self = later;
        let latency = &mut self.figures[Series::Latency as usize];
        // The maximum ignores NaN.
        *latency = latency.max(highest);
    }

    /// Unix time in units of [`POINT_SECONDS`].
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Unix time in seconds at which the point begins.
    pub(crate) fn second(&self) -> i64 {
        i64::from(self.number) * POINT_SECONDS
    }

    /// Returns a figure; `None` if it is unknown.
    pub(crate) fn get(&self, series: Series) -> Option<f64> {
        let figure = self.figures[series as usize];
        (!figure.is_nan()).then_some(f64::from(figure))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a chart shows three digits"
    )]
    fn set(&mut self, series: Series, figure: f64) {
        self.figures[series as usize] = figure as f32;
    }

    fn set_count(&mut self, series: Series, count: Option<u32>) {
        if let Some(count) = count {
            self.set(series, f64::from(count));
        }
    }
}
