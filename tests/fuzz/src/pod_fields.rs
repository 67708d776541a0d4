//! Compares a pod before and after its injection.

use serde_json::Value;

/// The fields whose value the injector may change.
const CHANGED: [&str; 3] = [
    "terminationGracePeriodSeconds",
    "pushscale.dev/injected",
    "pushscale.dev/skipped",
];

/// Whether a pod has all fields and items that it had before. A list may have one more item, the first or the last.
pub fn keeps(before: &Value, after: &Value) -> bool {
    match (before, after) {
        // The injector may set a field that is null.
        (Value::Null, _) => true,
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(key, value)| {
            CHANGED.contains(&key.as_str())
                || after.get(key).is_some_and(|after| keeps(value, after))
        }),
        (Value::Array(before), Value::Array(after)) => {
            let same = |after: &[Value]| {
                before
                    .iter()
                    .zip(after)
                    .all(|(one, other)| keeps(one, other))
            };
            match after.len().checked_sub(before.len()) {
                Some(0) => same(after),
                Some(1) => same(&after[1..]) || same(&after[..before.len()]),
                _ => false,
            }
        }
        _ => before == after,
    }
}
