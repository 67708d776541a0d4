//! The conditions of a PushScaler by their types in the status.

use pushscale_decision::{Condition, Conditions};

use crate::names::conditions::{
    ABLE_TO_SCALE, DEMAND_VANISHED, FRESH, LOAD_UNEVEN, METRICS_INCOMPLETE, OUTSIDE_ENVELOPE,
    POD_OUTLIER, SCALING_ACTIVE, SCALING_LIMITED, STUCK, TARGET_REACHABLE,
};

/// The number of condition types.
pub const CONDITIONS: usize = 11;

/// Returns each condition with its type, in the order of the status. Those that have not occurred are `None`.
pub fn by_type(conditions: &Conditions) -> [(&'static str, &Option<Condition>); CONDITIONS] {
    [
        (ABLE_TO_SCALE, &conditions.able_to_scale),
        (SCALING_ACTIVE, &conditions.scaling_active),
        (SCALING_LIMITED, &conditions.scaling_limited),
        (FRESH, &conditions.fresh),
        (METRICS_INCOMPLETE, &conditions.metrics_incomplete),
        (STUCK, &conditions.stuck),
        (TARGET_REACHABLE, &conditions.target_reachable),
        (POD_OUTLIER, &conditions.pod_outlier),
        (LOAD_UNEVEN, &conditions.load_uneven),
        (DEMAND_VANISHED, &conditions.demand_vanished),
        (OUTSIDE_ENVELOPE, &conditions.outside_envelope),
    ]
}
