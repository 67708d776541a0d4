//! The conditions of a scaler, and which of them need attention.

use pushscale_api::conditions::by_type;
use pushscale_api::names::conditions::{
    DEMAND_VANISHED, LOAD_UNEVEN, METRICS_INCOMPLETE, OUTSIDE_ENVELOPE, POD_OUTLIER,
    SCALING_LIMITED, STUCK,
};
use pushscale_decision::Conditions;

/// A condition as the page shows it.
pub(super) struct ConditionRow<'a> {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: &'a str,
    /// Whether it needs attention.
    pub(super) is_bad: bool,
}

/// Returns the conditions that have occurred, in the order of the status.
pub(super) fn all(conditions: &Conditions) -> impl Iterator<Item = ConditionRow<'_>> {
    let rows = by_type(conditions).into_iter();
    rows.filter_map(|(kind, condition)| {
        let condition = condition.as_ref()?;
        Some(ConditionRow {
            kind,
            status: if condition.status { "True" } else { "False" },
            reason: condition.reason.as_str(),
            message: &condition.message,
            is_bad: match kind {
                METRICS_INCOMPLETE | STUCK | POD_OUTLIER | LOAD_UNEVEN | DEMAND_VANISHED
                | OUTSIDE_ENVELOPE => condition.status,
                // Reaching a limit is normal operation.
                SCALING_LIMITED => false,
                _ => !condition.status,
            },
        })
    })
}
