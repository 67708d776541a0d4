//! The ordered steps of a decision, in words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::latency::Latency;
use crate::limits::Cap;
use crate::policy::{Aggregate, Direction};

/// One step on the way from facts to a number of replicas. `Display` is its sentence: the log, the status,
/// the debug page and the command line all show that one.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Where it began.
    Size {
        /// Replicas in the target's spec.
        current: u32,
        /// `minReplicas`.
        min: u32,
        /// `maxReplicas`.
        max: u32,
    },
    /// The size was outside its bounds; no reading is needed to mend that.
    Corrected {
        /// The bound.
        to: u32,
    },
    /// How the pods sort.
    Pods {
        /// With a fresh latency.
        reporting: u32,
        /// Running without one.
        silent: u32,
        /// Not started yet.
        pending: u32,
        /// Deleting, leaving or failed: counted nowhere.
        ignored: u32,
    },
    /// A metric could not be computed.
    MetricFailed {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// Why.
        problem: &'static str,
    },
    /// The average over the pods that report.
    Average {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// Which one: the mean, or another.
        aggregate: Aggregate,
        /// That queue latency.
        mean: Latency,
        /// Over so many pods.
        pods: u32,
        /// What it should be.
        target: Latency,
        /// `mean / target`.
        ratio: f64,
    },
    /// The average again, with silent and pending pods assumed unhelpful in the direction of travel.
    Refilled {
        /// Silent pods counted, and the latency each was given.
        silent: Option<(u32, Latency)>,
        /// Pending pods counted as zero.
        pending: u32,
        /// The mean with them.
        mean: Latency,
        /// Over so many pods.
        pods: u32,
        /// `mean / target`.
        ratio: f64,
    },
    /// Too near to 1 to act.
    WithinTolerance {
        /// The lower end, inside.
        low: f64,
        /// The upper end, inside.
        high: f64,
    },
    /// With silent and pending pods counted, the ratio or the count contradicts the direction.
    Contradicted,
    /// What the metric asks for.
    Proposed {
        /// The ratio that counted.
        ratio: f64,
        /// Times so many pods.
        pods: u32,
        /// Rounded up.
        replicas: u32,
    },
    /// The metric that asks for most wins.
    Largest {
        /// Of so many metrics.
        metrics: u32,
        /// Its proposal.
        replicas: u32,
    },
    /// Too few pods report to go down.
    NoQuorum {
        /// Running pods that report.
        reporting: u32,
        /// All running pods.
        running: u32,
    },
    /// An earlier proposal, still in its window, holds the size.
    Stabilized {
        /// What was proposed now.
        proposed: u32,
        /// What holds.
        to: u32,
        /// Of how long ago proposals are looked at.
        window: Duration,
    },
    /// A limit cut the change.
    Limited {
        /// What was wanted.
        wanted: u32,
        /// What is allowed.
        to: u32,
        /// By which limit.
        cap: Cap,
    },
    /// Model: the pods that requests go to.
    Serving {
        /// Pods that are ready.
        ready: u32,
        /// Of these, with a fresh reading.
        reporting: u32,
        /// Pods on their way.
        starting: u32,
    },
    /// Model: the rate of arrivals, per second over the whole fleet.
    Demand {
        /// The model, if the metric names one.
        model: Option<Arc<str>>,
        /// At least this, beyond doubt.
        rate: f64,
        /// Seen in so much time.
        seen_in: Duration,
        /// The mean of the last minute.
        slow: f64,
    },
    /// Model: where the trend leads.
    Trend {
        /// Arrivals a second …
        rate: f64,
        /// … when pods ordered now are ready.
        ahead: Duration,
    },
    /// Model: what one pod can do.
    Capacity {
        /// How long a worker takes for a request.
        service: Duration,
        /// Requests that a pod works on at a time.
        slots: u32,
        /// How busy it may be, 0 to 1.
        busy: f64,
        /// One queue before all pods.
        pooled: bool,
        /// So that requests wait no longer than this.
        target: Latency,
    },
    /// Model: what the demand takes.
    Needed {
        /// In fractions of a pod.
        pods: f64,
        /// Times this.
        headroom: f64,
        /// In whole ones.
        replicas: u32,
    },
    /// Model: what was needed lately is kept.
    Held {
        /// So many.
        replicas: u32,
        /// Of the last while.
        window: Duration,
    },
    /// Model: requests have piled up.
    Backlog {
        /// Requests beyond what a steady fleet holds.
        waiting: f64,
        /// Pods on their way.
        starting: u32,
        /// What it takes.
        replicas: u32,
    },
    /// Model: a burst that comes regularly is due.
    BurstDue {
        /// How often it comes.
        every: Duration,
        /// In so many seconds; negative: since so many.
        within: f64,
        /// What it takes.
        replicas: u32,
    },
    /// Model: nothing that serves goes while requests wait.
    KeptWhileWaiting {
        /// How long they wait.
        wait: Latency,
        /// So many serve.
        replicas: u32,
    },
    /// Model: half of the pods do not become ready.
    NotReady {
        /// So many are overdue.
        overdue: u32,
    },
    /// Model: requests arrive and none is answered.
    Stuck {
        /// The size that is kept.
        replicas: u32,
    },
    /// Model: an input is missing and requests wait too long.
    Guard {
        /// How long.
        wait: Latency,
        /// Twice the size.
        replicas: u32,
    },
    /// Nothing has been known for so long that the fallback holds.
    Fallback {
        /// For how long.
        unknown_for: Duration,
        /// At least so many.
        replicas: u32,
    },
    /// A schedule asks for at least so many.
    Scheduled {
        /// So many.
        replicas: u32,
    },
    /// This direction is paused.
    Paused {
        /// Which.
        direction: Direction,
        /// The size that was wanted.
        wanted: u32,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { current, min, max } => {
                write!(f, "{} now, {min} to {max} allowed", replicas(*current))
            }
            Self::Corrected { to } => {
                write!(f, "outside the bounds: {to}, whatever the readings say")
            }
            Self::Pods {
                reporting,
                silent,
                pending,
                ignored,
            } => write!(
                f,
                "pods: {reporting} reporting, {silent} silent, {pending} pending, {ignored} leaving or failed"
            ),
            Self::MetricFailed { model, problem } => {
                write!(f, "{}: {problem}", metric(model.as_deref()))
            }
            Self::Average {
                model,
                aggregate,
                mean,
                pods,
                target,
                ratio,
            } => write!(
                f,
                "{}: {} of {pods} is {mean}, target {target}, ratio {}",
                metric(model.as_deref()),
                match aggregate {
                    Aggregate::Mean => "mean",
                    Aggregate::Max => "largest",
                    Aggregate::P95 => "95th percentile",
                },
                short(*ratio)
            ),
            Self::Refilled {
                silent,
                pending,
                mean,
                pods,
                ratio,
            } => {
                f.write_str("counting ")?;
                if let Some((count, latency)) = silent {
                    write!(f, "{count} silent as {latency}")?;
                }
                if *pending > 0 {
                    if silent.is_some() {
                        f.write_str(" and ")?;
                    }
                    write!(f, "{pending} pending as 0s")?;
                }
                if silent.is_none() && *pending == 0 {
                    f.write_str("nobody more")?;
                }
                write!(f, ": mean of {pods} is {mean}, ratio {}", short(*ratio))
            }
            Self::WithinTolerance { low, high } => {
                write!(f, "within {} and {}: keep", short(*low), short(*high))
            }
            Self::Contradicted => {
                f.write_str("silent and pending pods could turn the direction: keep")
            }
            Self::Proposed {
                ratio,
                pods,
                replicas: proposed,
            } => write!(
                f,
                "{} × {pods}, rounded up: {}",
                short(*ratio),
                replicas(*proposed)
            ),
            Self::Largest {
                metrics,
                replicas: proposed,
            } => write!(f, "largest of {metrics} metrics: {}", replicas(*proposed)),
            Self::NoQuorum { reporting, running } => write!(
                f,
                "{reporting} of {running} running pods report, scaling down takes 80 %: keep"
            ),
            Self::Stabilized {
                proposed,
                to,
                window,
            } => write!(
                f,
                "proposals of the last {} s hold it at {to} instead of {proposed}",
                window.as_secs()
            ),
            Self::Limited { wanted, to, cap } => write!(f, "{cap}: {to} instead of {wanted}"),
            Self::Serving {
                ready,
                reporting,
                starting,
            } => write!(
                f,
                "pods: {ready} ready, {reporting} of them report, {starting} starting"
            ),
            Self::Demand {
                model,
                rate,
                seen_in,
                slow,
            } => {
                if let Some(model) = model {
                    write!(f, "model {model}: ")?;
                }
                if seen_in.as_secs() >= 60 {
                    return write!(f, "{}/s arrive (last minute)", short(*rate));
                }
                write!(
                    f,
                    "at least {}/s arrive (last {} s; {}/s over a minute)",
                    short(*rate),
                    seen_in.as_secs(),
                    short(*slow)
                )
            }
            Self::Trend { rate, ahead } => write!(
                f,
                "rising to {}/s by the time a new pod is ready ({})",
                short(*rate),
                time(*ahead)
            ),
            Self::Capacity {
                service,
                slots,
                busy,
                pooled,
                target,
            } => {
                write!(f, "a request takes {}", time(*service))?;
                if *pooled {
                    return write!(
                        f,
                        ", {slots} at a time a pod, one queue for all: target {target}"
                    );
                }
                write!(
                    f,
                    ", {slots} at a time: a pod may be {} % busy for a wait of {target}",
                    short(100.0 * busy)
                )
            }
            Self::Needed {
                pods,
                headroom,
                replicas: needed,
            } => {
                write!(f, "that takes {} pods", short(*pods))?;
                if *headroom > 1.0 {
                    write!(
                        f,
                        ", × {} for what came unforeseen before",
                        short(*headroom)
                    )?;
                }
                write!(f, ": {}", replicas(*needed))
            }
            Self::Held {
                replicas: held,
                window,
            } => write!(
                f,
                "the last {} needed {}: kept",
                time(*window),
                replicas(*held)
            ),
            Self::Backlog {
                waiting,
                starting,
                replicas: ordered,
            } => {
                if *waiting >= 1.0 {
                    write!(
                        f,
                        "{} more requests than usual are in the pods",
                        short(*waiting)
                    )?;
                } else {
                    f.write_str("requests have just piled up, or are about to")?;
                }
                if *starting > 0 {
                    write!(f, ", {starting} pods are starting")?;
                }
                write!(f, ": {} work that off", replicas(*ordered))
            }
            Self::BurstDue {
                every,
                within,
                replicas: prepared,
            } => {
                write!(f, "a burst comes every {}, ", time(*every))?;
                if *within >= 0.0 {
                    write!(f, "the next in {within:.0} s")?;
                } else {
                    write!(f, "the last was due {:.0} s ago", -within)?;
                }
                write!(f, ": {} prepared", replicas(*prepared))
            }
            Self::KeptWhileWaiting {
                wait,
                replicas: kept,
            } => write!(
                f,
                "requests wait {wait}: the {} that serve stay",
                replicas(*kept)
            ),
            Self::NotReady { overdue } => write!(
                f,
                "{overdue} pods do not become ready: no more of them until they do"
            ),
            Self::Stuck { replicas: kept } => write!(
                f,
                "requests arrive and none is answered: {}, more would not help",
                replicas(*kept)
            ),
            Self::Guard {
                wait,
                replicas: doubled,
            } => write!(
                f,
                "metrics are incomplete and requests wait {wait}: doubled to {}",
                replicas(*doubled)
            ),
            Self::Fallback {
                unknown_for,
                replicas: fallback,
            } => write!(
                f,
                "nothing known for {}: fallback to at least {}",
                time(*unknown_for),
                replicas(*fallback)
            ),
            Self::Scheduled { replicas: floor } => {
                write!(f, "a schedule asks for at least {}", replicas(*floor))
            }
            Self::Paused { direction, wanted } => write!(
                f,
                "scaling {} is paused: {wanted} is not set",
                match direction {
                    Direction::Up => "up",
                    Direction::Down => "down",
                }
            ),
        }
    }
}

/// A metric's name.
pub(crate) fn metric(model: Option<&str>) -> impl fmt::Display {
    fmt::from_fn(move |f| match model {
        Some(name) => write!(f, "queue latency of model {name}"),
        None => f.write_str("queue latency"),
    })
}

pub(crate) fn replicas(count: u32) -> impl fmt::Display {
    fmt::from_fn(move |f| match count {
        1 => f.write_str("1 replica"),
        _ => write!(f, "{count} replicas"),
    })
}

/// A time span in the unit that a person would choose.
fn time(span: Duration) -> Latency {
    Latency::from_secs_f64(span.as_secs_f64()).unwrap_or(Latency::ZERO)
}

/// Three significant digits; more would look like knowledge.
fn short(ratio: f64) -> impl fmt::Display {
    let digits = match ratio.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    fmt::from_fn(move |f| write!(f, "{}", Trimmed(ratio, digits)))
}

/// A number without trailing zeros, in so many digits after the point at most.
struct Trimmed(f64, usize);

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, most) = *self;
        let scale = |digits: usize| 10_f64.powi(i32::try_from(digits).unwrap_or(0));
        let rounded = (number * scale(most)).round();
        let digits = (0..most)
            .find(|digits| {
                let coarser = scale(most - digits);
                (rounded / coarser).round() * coarser == rounded
            })
            .unwrap_or(most);
        write!(f, "{number:.digits$}")
    }
}
