//! Renders the steps of a decision as text, for the log, the status, the debug page and the command line.

use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::numbers::short;
use crate::policy::{Aggregate, Direction};
use crate::step::{BacklogBound, Step};

/// The smallest difference from 1 for which a calibration is shown.
const CALIBRATION_SHOWN: f64 = 0.05;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current { replicas, min, max } => {
                write!(f, "current: {} (min {min}, max {max})", count(*replicas))
            }
            Self::OutOfBounds { to } => {
                write!(
                    f,
                    "bounds: corrected to {}, regardless of the readings",
                    count(*to)
                )
            }
            Self::PodGroups {
                reporting,
                not_reporting,
                pending,
                ignored,
            } => write!(
                f,
                "pods: {reporting} reporting, {not_reporting} not reporting, {pending} pending, \
                 {ignored} terminating or failed"
            ),
            Self::MetricFailed { model, problem } => {
                write!(f, "{}: {problem}", metric(model.as_deref()))
            }
            Self::Average {
                model,
                aggregate,
                latency,
                pods,
                target,
                ratio,
            } => write!(
                f,
                "{}: {} {} over {}, target {}, ratio {}",
                metric(model.as_deref()),
                aggregate,
                spaced(*latency),
                units(*pods, "pod"),
                spaced(*target),
                short(*ratio)
            ),
            Self::Assumed {
                not_reporting,
                pending,
                latency,
                pods,
                ratio,
            } => {
                f.write_str("assumed: ")?;
                if let Some((missing, latency)) = not_reporting {
                    let missing = units(*missing, "pod");
                    write!(f, "{missing} not reporting at {}; ", spaced(*latency))?;
                }
                if *pending > 0 {
                    write!(f, "{} at 0 s; ", units(*pending, "pending pod"))?;
                }
                let (pods, latency) = (units(*pods, "pod"), spaced(*latency));
                write!(f, "{latency} over {pods}, ratio {}", short(*ratio))
            }
            Self::WithinTolerance { low, high } => write!(
                f,
                "tolerance: the ratio is between {} and {}, no change",
                short(*low),
                short(*high)
            ),
            Self::Contradicted => {
                f.write_str("no change: pods without a reading could reverse the direction")
            }
            Self::Proposed {
                ratio,
                pods,
                replicas,
            } => write!(
                f,
                "proposal: {} × {}, rounded up to {}",
                short(*ratio),
                units(*pods, "pod"),
                count(*replicas)
            ),
            Self::Largest { metrics, replicas } => write!(
                f,
                "proposal: {}, the largest of {metrics} metrics",
                count(*replicas)
            ),
            Self::ModelWithoutPlan {
                model,
                problem,
                replicas,
            } => write!(
                f,
                "proposal: {}, because nothing can be computed for model {model}: {problem}",
                count(*replicas)
            ),
            Self::RunnerUp { model, replicas } => {
                write!(f, "runner-up: {} for model {model}", count(*replicas))
            }
            Self::TooManyModels { replicas } => write!(
                f,
                "proposal: {}, because some models are not tracked",
                count(*replicas)
            ),
            Self::NoQuorum {
                reporting,
                expected,
                unobserved: 0,
            } => write!(
                f,
                "quorum: {reporting} of {expected} running pods report, scaling down needs 80%"
            ),
            Self::NoQuorum {
                reporting,
                expected,
                unobserved,
            } => write!(
                f,
                "quorum: {reporting} of {expected} pods report and {unobserved} are not in the pod list, scaling down needs 80%"
            ),
            Self::Stabilized {
                proposed,
                to,
                window,
            } => write!(
                f,
                "stabilization window: proposals of the last {} keep {} instead of {proposed}",
                span(*window),
                count(*to)
            ),
            Self::Limited { proposed, to, cap } => {
                write!(f, "{cap}: {} instead of {proposed}", count(*to))
            }
            Self::Pods {
                ready,
                reporting,
                starting,
            } => write!(
                f,
                "pods: {ready} ready, {reporting} reporting, {starting} starting"
            ),
            Self::Arrivals {
                model,
                rate,
                window,
                minute,
            } => {
                f.write_str("arrivals")?;
                if let Some(model) = model {
                    write!(f, " of model {model}")?;
                }
                if window.as_secs() > 60 {
                    return write!(f, ": {}/s (last {})", short(*rate), span(*window));
                }
                if window.as_secs() == 60 {
                    return write!(f, ": {}/s (last minute)", short(*rate));
                }
                write!(
                    f,
                    ": at least {}/s (last {}; {}/s over the last minute)",
                    short(*rate),
                    span(*window),
                    short(*minute)
                )
            }
            Self::Trend {
                rate,
                ahead,
                start_delay,
                limit,
            } => {
                write!(f, "trend: {}/s in {}", short(*rate), span(*ahead))?;
                if let Some(limit) = limit {
                    let limit = short(*limit);
                    write!(f, ", limited to {limit} times the current rate")?;
                }
                write!(f, "; a new pod is ready in {}", span(*start_delay))
            }
            Self::Capacity {
                service,
                workers,
                utilisation,
                calibration,
                pooled,
                sharing,
                aggregate,
                target,
            } => {
                let workers = units(*workers, "worker");
                write!(f, "service time: {}, {workers} per pod", span(*service))?;
                let wait = statistic(*aggregate);
                let target = spaced(*target);
                if *pooled {
                    write!(
                        f,
                        ", one queue for {}; target {target} for the {wait}",
                        sharing.map_or("all pods".to_owned(), |pods| format!(
                            "about {} pods",
                            short(pods)
                        ))
                    )?;
                } else {
                    let utilisation = short(100.0 * utilisation);
                    write!(
                        f,
                        "; {utilisation}% utilisation keeps the {wait} at {target}"
                    )?;
                }
                if (calibration - 1.0).abs() < CALIBRATION_SHOWN {
                    return Ok(());
                }
                let factor = short(*calibration);
                write!(
                    f,
                    "; waits are {factor} times as long as the formula predicts"
                )
            }
            Self::WaitPercentile {
                aggregate,
                wait,
                samples,
                span: time,
            } => write!(
                f,
                "measured: the {} is about {}, estimated from {samples} queue lengths of the last {}",
                statistic(*aggregate),
                spaced(*wait),
                span(*time)
            ),
            Self::QueueLimit { limit, utilisation } => write!(
                f,
                "queue limit: {} may wait in a pod; {}% utilisation keeps the rejected ones below 0.1% (a larger job_queue_size needs fewer pods)",
                units(*limit, "request"),
                short(100.0 * utilisation)
            ),
            Self::Batches {
                size,
                single,
                growth,
            } => write!(
                f,
                "batches: one request takes {}, each further one of up to {size} adds {}; requests wait for the batch before theirs",
                span(*single),
                span(*growth)
            ),
            Self::SlowestPods {
                pods,
                slowest,
                slowdown,
                kept,
            } => {
                let one = *pods == 1;
                let verb = if one { "takes" } else { "take" };
                let (pods, slowdown) = (units(*pods, "pod"), short(*slowdown));
                write!(
                    f,
                    "slowest pods: {pods} {verb} {slowdown} times the mean per request (the slowest is {slowest})"
                )?;
                if *kept {
                    return f.write_str(", so each pod may get fewer requests");
                }
                let (its, it) = if one {
                    ("its", "it")
                } else {
                    ("their", "them")
                };
                write!(
                    f,
                    " and cannot serve {its} share of the requests; adding pods would cost more than it helps: delete {it}"
                )
            }
            Self::Needed {
                pods,
                headroom,
                replicas,
            } => {
                write!(f, "needed: {} pods, {}", short(*pods), count(*replicas))?;
                if *headroom > 1.0 {
                    let percent = short(100.0 * (headroom - 1.0));
                    write!(f, " with {percent}% head-room")?;
                }
                Ok(())
            }
            Self::Held { replicas, window } => write!(
                f,
                "hold: the need of the last {} keeps {}",
                span(*window),
                count(*replicas)
            ),
            Self::DemandVanished { before, now } => write!(
                f,
                "vanished: arrivals fell from {}/s to {}/s within a minute; replicas are held longer in case this is an outage",
                short(*before),
                short(*now)
            ),
            Self::OutsideEnvelope { ratio } => write!(
                f,
                "envelope: requests waited longer than the target, and {ratio:.0} times as long as the formula predicts; scale-downs are only recommended"
            ),
            Self::Idle => f.write_str("arrivals: none for at least a minute"),
            Self::HeldAfterStart { replicas, window } => write!(
                f,
                "hold: no scale-down in the first {} after a start keeps {}",
                span(*window),
                count(*replicas)
            ),
            Self::Backlog {
                waiting,
                starting,
                replicas,
                bound_by,
            } => {
                if *waiting >= 1.0 {
                    write!(f, "backlog: {} requests more than usual", short(*waiting))?;
                } else {
                    f.write_str("backlog: recent or about to build up")?;
                }
                if *starting > 0 {
                    write!(f, ", {} starting", units(*starting, "pod"))?;
                }
                write!(f, "; {} {}", count(*replicas), bound_by.describe())
            }
            Self::RiseExpected {
                period,
                rate,
                replicas,
            } => write!(
                f,
                "expected: {}/s, as it was {} ago; {} prepared",
                short(*rate),
                span(*period),
                count(*replicas)
            ),
            Self::KeptWhileWaiting { wait, replicas } => write!(
                f,
                "safeguard: requests wait {}, {} kept",
                spaced(*wait),
                count(*replicas)
            ),
            Self::KeptWhilePending { pending, replicas } => write!(
                f,
                "safeguard: {} pending, {} kept",
                units(*pending, "pod"),
                count(*replicas)
            ),
            Self::Lost { pods, replicas } => {
                let (were, have) = if *pods == 1 {
                    ("was", "has")
                } else {
                    ("were", "have")
                };
                write!(
                    f,
                    "lost: {} that {were} ready {have} been unready for over a minute; {} with replacements",
                    units(*pods, "pod"),
                    count(*replicas)
                )
            }
            Self::Replacement { replicas } => write!(
                f,
                "replacement: {} until one more is ready, then a slow one is deleted",
                count(*replicas)
            ),
            Self::SlowPod {
                pod,
                factor,
                waiting,
            } => {
                write!(f, "slow pod: {pod} ")?;
                if factor.is_finite() {
                    write!(
                        f,
                        "takes {factor:.0} times as long per request as the others"
                    )?;
                } else {
                    f.write_str("completes no requests")?;
                }
                let wait = if *waiting == 1 { "waits" } else { "wait" };
                let waiting = units(*waiting, "request");
                write!(
                    f,
                    "; {waiting} {wait} in its queue, where additional pods cannot help"
                )
            }
            Self::OverloadedPod { pod, rate, waiting } => {
                let wait = if *waiting == 1 { "waits" } else { "wait" };
                write!(
                    f,
                    "uneven load: {pod} gets {}/s, more than it can serve; {} {wait} in its queue, which additional pods do not serve",
                    short(*rate),
                    units(*waiting, "request")
                )
            }
            Self::BatchFill { slots } => write!(
                f,
                "batches: no full batch measured yet; a pod is assumed to process at most {} at once",
                units(*slots, "request")
            ),
            Self::UnevenLoad {
                idle,
                pods,
                unordered,
            } => {
                let pods = units(*pods, "pod");
                write!(
                    f,
                    "uneven load: {idle} of {pods} get hardly any requests, so more pods do not help"
                )?;
                if let Some(replicas) = unordered {
                    write!(f, "; not ordered: {} for the backlog", count(*replicas))?;
                }
                Ok(())
            }
            Self::Overdue { pods } => {
                let they_are = if *pods == 1 { "it is" } else { "they are" };
                write!(
                    f,
                    "safeguard: {} overdue; no scale-up until {they_are} ready",
                    units(*pods, "pod")
                )
            }
            Self::Stuck { replicas } => write!(
                f,
                "stuck: requests arrive and none completes, {} kept",
                count(*replicas)
            ),
            Self::LatencyGuard { wait, replicas } => write!(
                f,
                "safeguard: metrics are incomplete and requests wait {}, raised to {}",
                spaced(*wait),
                count(*replicas)
            ),
            Self::Fallback {
                unknown_for,
                replicas,
            } => write!(
                f,
                "fallback: no metric for {}, at least {}",
                span(*unknown_for),
                count(*replicas)
            ),
            Self::ScheduledFloor { replicas } => {
                write!(f, "schedule: at least {}", count(*replicas))
            }
            Self::Paused { direction, to } => write!(
                f,
                "pause: not scaled {} to {}",
                match direction {
                    Direction::Up => "up",
                    Direction::Down => "down",
                },
                count(*to)
            ),
        }
    }
}

impl BacklogBound {
    fn describe(self) -> &'static str {
        match self {
            Self::DrainTime => "to work it off in time",
            Self::StartCost => {
                "to work it off; starting more would cost more than the violations that they avoid"
            }
            Self::MaxOrder => "to work it off; one order is at most three times the need",
            Self::EarlierOrder => "to work it off; ordered earlier, and kept until they can serve",
        }
    }
}

/// The name of a metric.
pub(crate) fn metric(model: Option<&str>) -> impl fmt::Display {
    fmt::from_fn(move |f| match model {
        Some(name) => write!(f, "queue latency of model {name}"),
        None => f.write_str("queue latency"),
    })
}

/// A replica count with its unit.
pub(crate) fn count(replicas: u32) -> impl fmt::Display {
    units(replicas, "replica")
}

/// Returns the name of the statistic of the wait that the queueing model plans for.
fn statistic(aggregate: Aggregate) -> String {
    match aggregate {
        Aggregate::Mean => "mean wait".to_owned(),
        Aggregate::Percentile(percentile) => format!("{percentile} of the wait"),
        Aggregate::Max => "99th percentile of the wait".to_owned(),
    }
}

fn units(number: u32, unit: &str) -> impl fmt::Display {
    let plural = if number == 1 { "" } else { "s" };
    fmt::from_fn(move |f| write!(f, "{number} {unit}{plural}"))
}

/// A duration in minutes if it is two or more whole ones, otherwise like a latency.
fn span(duration: Duration) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let minutes = duration.as_secs() / 60;
        for (unit, length) in [("days", 1440), ("h", 60)] {
            if minutes >= 2 * length
                && Duration::from_secs(minutes / length * length * 60) == duration
            {
                return write!(f, "{} {unit}", minutes / length);
            }
        }
        if minutes >= 2 && Duration::from_secs(minutes * 60) == duration {
            return write!(f, "{minutes} min");
        }
        let latency = Latency::from_secs_f64(duration.as_secs_f64());
        write!(f, "{}", spaced(latency.unwrap_or(Latency::ZERO)))
    })
}

/// A latency with a space before its unit, for prose.
fn spaced(latency: Latency) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let text = latency.to_string();
        let (number, unit) = text.split_at(text.find(char::is_alphabetic).unwrap_or(text.len()));
        write!(f, "{number} {unit}")
    })
}
