//! Checks that every decision explains its alternatives.

use pushscale_decision::{Decision, Step};

/// Asserts that a user who asks for more or for fewer replicas gets an answer, wherever both are possible.
pub(crate) fn check_alternatives(decision: &Decision) {
    let Some(Step::Current { min, max, .. }) = decision.steps.first() else {
        return;
    };
    let Some(desired) = decision.desired() else {
        return;
    };
    let found = decision.alternatives();
    let more = [&found.not_more, &found.more_if];
    let fewer = [&found.not_fewer, &found.fewer_if];
    let lacks = |answers: [&Vec<String>; 2]| answers.iter().any(|answer| answer.is_empty());
    assert!(
        (desired >= *max || !lacks(more)) && (desired <= *min || !lacks(fewer)),
        "{desired} replicas are not explained by {found:#?} of {:#?}",
        decision.steps
    );
}
