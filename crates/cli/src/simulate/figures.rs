//! The figures of a run, with their names and formats.

use pushscale_simulator::cluster::Outcome;

/// A figure of a run.
pub(super) struct Figure {
    /// Its name in JSON.
    pub(super) key: &'static str,
    /// Its name in the table; `None` if the table does not have it.
    pub(super) head: Option<&'static str>,
    /// Whether the table has minimum and maximum. JSON has them for all figures.
    pub(super) spread: bool,
    pub(super) of: fn(&Outcome) -> f64,
    pub(super) show: fn(f64) -> String,
}

/// All figures, in the order of the table.
pub(super) const FIGURES: [Figure; 20] = [
    spread(figure(
        "violation_seconds",
        Some("violation s"),
        |of| f64::from(of.violation_seconds),
        count,
    )),
    spread(figure(
        "pod_hours",
        Some("pod-hours"),
        |of| of.pod_hours,
        tenths,
    )),
    figure("node_hours", Some("node-hours"), |of| of.node_hours, tenths),
    figure(
        "bad_percent",
        Some("bad %"),
        |of| of.bad_percent,
        hundredths,
    ),
    figure("mean_wait_seconds", None, |of| of.mean_wait, time),
    figure("p95_wait_seconds", Some("p95 wait"), |of| of.p95_wait, time),
    figure("p99_wait_seconds", None, |of| of.p99_wait, time),
    figure(
        "p95_over_target",
        Some("p95/target"),
        |of| of.p95_over_target,
        tenths,
    ),
    figure("rejected", Some("503s"), |of| of.rejected as f64, count),
    figure("lost", Some("lost"), |of| of.lost as f64, count),
    spread(figure(
        "changes",
        Some("changes"),
        |of| f64::from(of.changes),
        count,
    )),
    figure(
        "reversals",
        Some("reversals"),
        |of| f64::from(of.reversals),
        count,
    ),
    figure(
        "pod_starts",
        Some("pod starts"),
        |of| of.starts as f64,
        count,
    ),
    figure(
        "max_replicas",
        Some("max pods"),
        |of| f64::from(of.largest),
        count,
    ),
    figure(
        "max_over_need",
        Some("max/need"),
        |of| of.largest_over_need,
        tenths,
    ),
    figure("retries", None, |of| of.retries as f64, count),
    figure("arrivals", None, |of| of.arrivals as f64, count),
    figure("completed", None, |of| of.completed as f64, count),
    figure("in_flight", None, |of| of.in_system as f64, count),
    figure("seconds", None, |of| of.seconds.len() as f64, count),
];

const fn figure(
    key: &'static str,
    head: Option<&'static str>,
    of: fn(&Outcome) -> f64,
    show: fn(f64) -> String,
) -> Figure {
    Figure {
        key,
        head,
        spread: false,
        of,
        show,
    }
}

const fn spread(figure: Figure) -> Figure {
    Figure {
        spread: true,
        ..figure
    }
}

/// Mean, minimum and maximum over the seeds.
pub(super) struct Spread {
    pub(super) mean: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(figure: &Figure, outcomes: &[Outcome]) -> Self {
        let values = || outcomes.iter().map(figure.of);
        Self {
            mean: values().sum::<f64>() / outcomes.len().max(1) as f64,
            min: values().fold(f64::INFINITY, f64::min),
            max: values().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Formats a time with three digits and a unit.
pub(super) fn time(seconds: f64) -> String {
    let (scaled, unit) = if seconds >= 1.0 {
        (seconds, "s")
    } else if seconds >= 1e-3 {
        (seconds * 1e3, "ms")
    } else if seconds > 0.0 {
        (seconds * 1e6, "us")
    } else {
        return "0".to_owned();
    };
    let digits = if scaled < 10.0 {
        2
    } else {
        usize::from(scaled < 100.0)
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

fn count(number: f64) -> String {
    format!("{number:.0}")
}

fn tenths(number: f64) -> String {
    format!("{number:.1}")
}

fn hundredths(number: f64) -> String {
    format!("{number:.2}")
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let cases = [
            (0.0, "0"),
            (0.000_012_34, "12.3us"),
            (0.007, "7ms"),
            (0.05, "50ms"),
            (0.123_4, "123ms"),
            (1.0, "1s"),
            (1.239, "1.24s"),
            (100.0, "100s"),
            (1200.4, "1200s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(time(seconds), expected);
        }
    }
}
