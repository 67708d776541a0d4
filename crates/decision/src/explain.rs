//! The steps of a decision in words: one renderer for the log, the status, the debug page and the command line.

use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::policy::{Aggregate, Direction};
use crate::step::Step;

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
            Self::Idle => f.write_str("no request has come for long"),
            Self::HeldAtFirst {
                replicas: held,
                window,
            } => write!(
                f,
                "{} were found at the start, and nothing goes for {}",
                replicas(*held),
                time(*window)
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
            Self::ServingKept {
                pending,
                replicas: kept,
            } => write!(
                f,
                "those that serve are kept while {pending} are on their way: {}",
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
fn time(span: Duration) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let minutes = span.as_secs() / 60;
        if minutes >= 2 && Duration::from_secs(minutes * 60) == span {
            return write!(f, "{minutes} min");
        }
        let span = Latency::from_secs_f64(span.as_secs_f64());
        write!(f, "{}", span.unwrap_or(Latency::ZERO))
    })
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
