//! One row of the table per PushScaler.

use jiff::Timestamp;
use pushscale_api::names::conditions::{
    ABLE_TO_SCALE, DEMAND_VANISHED, FRESH, LOAD_UNEVEN, METRICS_INCOMPLETE, OUTSIDE_ENVELOPE,
    POD_OUTLIER, SCALING_ACTIVE, SCALING_LIMITED, STUCK, TARGET_REACHABLE,
};
use pushscale_api::{Mode, PushScaler, PushScalerStatus};

use crate::output::{Cell, Colors, Urgency, age, table};

/// Which columns the table has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns {
    /// The namespace, as the first column.
    pub(crate) namespace: bool,
    /// The additional columns of `-o wide`.
    pub(crate) wide: bool,
}

/// A figure that is unknown.
const UNKNOWN: &str = "<unknown>";

/// Conditions that need attention with this status, the most urgent first.
const PROBLEMS: [(&str, &str, Urgency); 11] = [
    (ABLE_TO_SCALE, "False", Urgency::Wrong),
    (SCALING_ACTIVE, "False", Urgency::Wrong),
    (STUCK, "True", Urgency::Wrong),
    (FRESH, "False", Urgency::Notice),
    (METRICS_INCOMPLETE, "True", Urgency::Notice),
    (POD_OUTLIER, "True", Urgency::Notice),
    (LOAD_UNEVEN, "True", Urgency::Notice),
    (DEMAND_VANISHED, "True", Urgency::Notice),
    (OUTSIDE_ENVELOPE, "True", Urgency::Notice),
    (TARGET_REACHABLE, "False", Urgency::Notice),
    (SCALING_LIMITED, "True", Urgency::Notice),
];

/// Renders the table.
pub(crate) fn rows(
    scalers: &[PushScaler],
    columns: Columns,
    now: Timestamp,
) -> (Vec<&'static str>, Vec<Vec<Cell>>) {
    let mut header = vec![
        "NAME", "TARGET", "MODE", "CURRENT", "DESIRED", "LATENCY", "PODS", "REASON", "CHANGED",
    ];
    if columns.wide {
        header.extend(["MIN", "MAX", "LAST CHANGE", "DECISION"]);
    }
    if columns.namespace {
        header.insert(0, "NAMESPACE");
    }
    let rows = scalers.iter().map(|scaler| row(scaler, columns, now));
    (header, rows.collect())
}

/// Renders the table as text.
pub(crate) fn render(
    scalers: &[PushScaler],
    columns: Columns,
    now: Timestamp,
    colors: Colors,
) -> String {
    let (header, rows) = rows(scalers, columns, now);
    table(&header, &rows, colors)
}

/// The order of the rows.
pub(crate) fn key(scaler: &PushScaler) -> (String, String) {
    let metadata = &scaler.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

pub(crate) fn row(scaler: &PushScaler, columns: Columns, now: Timestamp) -> Vec<Cell> {
    let default = PushScalerStatus::default();
    let status = scaler.status.as_ref().unwrap_or(&default);
    let spec = &scaler.spec;
    let (namespace, name) = key(scaler);
    let target = &spec.scale_target_ref;
    let mode = match spec.mode {
        Mode::Apply => "Apply",
        Mode::Recommend => "Recommend",
        Mode::Off => "Off",
    };
    let number = |count: Option<i32>| count.map_or(UNKNOWN.to_owned(), |count| count.to_string());
    let mut cells = vec![
        Cell::new(name),
        Cell::new(format!("{}/{}", target.kind, target.name)),
        Cell::new(mode),
        Cell::new(number(status.current_replicas)),
        desired(status, &number(status.desired_replicas)),
        Cell::new(status.latency.clone().unwrap_or(UNKNOWN.to_owned())),
        pods(status),
        reason(status),
        Cell::new(match &status.last_scale_time {
            Some(time) => age(now, time.0),
            None => "<never>".to_owned(),
        }),
    ];
    if columns.wide {
        let change = status.history.first().map(|change| {
            let (from, to, reason) = (change.from, change.to, &change.reason);
            format!("{from} → {to}: {reason}")
        });
        cells.extend([
            Cell::new(spec.min_replicas.to_string()),
            Cell::new(spec.max_replicas.to_string()),
            Cell::new(change.unwrap_or("<none>".to_owned())),
            Cell::new(status.decision.clone().unwrap_or(UNKNOWN.to_owned())),
        ]);
    }
    if columns.namespace {
        cells.insert(0, Cell::new(namespace));
    }
    cells
}

fn desired(status: &PushScalerStatus, text: &str) -> Cell {
    let differs = status.desired_replicas != status.current_replicas;
    Cell {
        text: text.to_owned(),
        urgency: if differs {
            Urgency::Notice
        } else {
            Urgency::None
        },
    }
}

/// Returns how many of the running pods report.
fn pods(status: &PushScalerStatus) -> Cell {
    let Some(pods) = &status.pods else {
        return Cell::new(UNKNOWN);
    };
    let running = pods.fresh + pods.unknown + pods.stale + pods.absent;
    let urgency = match pods.fresh {
        fresh if fresh == running => Urgency::None,
        0 => Urgency::Wrong,
        _ => Urgency::Notice,
    };
    Cell {
        text: format!("{}/{running}", pods.fresh),
        urgency,
    }
}

/// Returns how urgent a condition with this status is; `None` if it reports no problem.
pub(crate) fn is_problem(kind: &str, status: &str) -> Option<Urgency> {
    let mut problems = PROBLEMS.iter();
    let found = problems.find(|(known, wrong, _)| *known == kind && *wrong == status)?;
    Some(found.2)
}

/// Returns the reason of the most urgent condition, or what was decided.
fn reason(status: &PushScalerStatus) -> Cell {
    for (kind, wrong, urgency) in PROBLEMS {
        let mut conditions = status.conditions.iter();
        let found = conditions.find(|found| found.type_ == kind && found.status == wrong);
        if let Some(condition) = found {
            return Cell {
                text: condition.reason.clone(),
                urgency,
            };
        }
    }
    match &status.decision {
        Some(decision) => Cell {
            text: outcome(decision).to_owned(),
            urgency: Urgency::Good,
        },
        None => Cell::new(UNKNOWN),
    }
}

/// Returns the outcome of `outcome: step; step`. The outcome of a hold has a colon of its own.
fn outcome(decision: &str) -> &str {
    let start = if decision.starts_with("hold: ") {
        "hold: ".len()
    } else {
        0
    };
    let rest = decision.get(start..).unwrap_or_default();
    let end = rest.find(": ").map_or(decision.len(), |end| start + end);
    decision.get(..end).unwrap_or(decision)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Compares with the files in `testdata/status`, which `PUSHSCALE_GENERATE=1` rewrites.
    #[test]
    fn tables_match_the_expected_texts() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/status");
        let text = std::fs::read_to_string(directory.join("scalers.yaml")).unwrap();
        let mut scalers: Vec<PushScaler> = serde_saphyr::from_multiple(&text).unwrap();
        scalers.sort_by_key(key);
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        for (name, namespace, wide, colors) in [
            ("table.txt", false, false, false),
            ("all-namespaces-wide.txt", true, true, false),
            ("colors.txt", false, false, true),
        ] {
            let columns = Columns { namespace, wide };
            let found = render(&scalers, columns, now, Colors(colors));
            let file = directory.join(name);
            if std::env::var_os("PUSHSCALE_GENERATE").is_some() {
                std::fs::write(&file, &found).unwrap();
            }
            assert_eq!(
                found,
                std::fs::read_to_string(&file).unwrap_or_default(),
                "{name}"
            );
        }
    }
}
