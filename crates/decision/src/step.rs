//! The ordered steps of a decision, in words.

use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::limits::Cap;

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
        model: Option<String>,
        /// Why.
        problem: &'static str,
    },
    /// The average over the pods that report.
    Average {
        /// The model, if the metric names one.
        model: Option<String>,
        /// The mean queue latency.
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
            Self::MetricFailed { model, problem } => write!(f, "{}: {problem}", metric(model)),
            Self::Average {
                model,
                mean,
                pods,
                target,
                ratio,
            } => write!(
                f,
                "{}: mean of {pods} is {mean}, target {target}, ratio {}",
                metric(model),
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
        }
    }
}

fn metric(model: &Option<String>) -> String {
    match model {
        Some(name) => format!("queue latency of model {name}"),
        None => "queue latency".to_owned(),
    }
}

pub(crate) fn replicas(count: u32) -> String {
    if count == 1 {
        "1 replica".to_owned()
    } else {
        format!("{count} replicas")
    }
}

/// Three significant digits; more would look like knowledge.
fn short(ratio: f64) -> String {
    let text = match ratio.abs() {
        size if size >= 100.0 => format!("{ratio:.0}"),
        size if size >= 10.0 => format!("{ratio:.1}"),
        size if size >= 1.0 => format!("{ratio:.2}"),
        _ => format!("{ratio:.3}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
