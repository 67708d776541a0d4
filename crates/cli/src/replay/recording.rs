//! Replays a recording of the aggregator in open loop: with the recorded inputs, whatever is decided.

use std::fmt;
use std::time::Duration;

use pushscale_api::policy_of;
use pushscale_api::recording::{Expected, Fact, RecordedFact, Recording, status_and_reason};
use pushscale_decision::{Conditions, Decision, Moment, PodUid, Policy, Scaler, Snapshot};

use super::error::CaseError;

/// The first decision of a recording that is different now.
#[derive(Clone, Debug)]
pub struct Deviation {
    /// The recording's name.
    pub recording: String,
    /// The index of the step.
    pub step: usize,
    /// Its time, in seconds.
    pub at: f64,
    /// The recorded decision.
    pub expected: Expected,
    /// The decision of the replay.
    pub found: Expected,
}

/// Replays all steps, calls `each` with each decision, and returns the first deviation from the recording. `line` is
/// for error messages.
///
/// # Errors
///
/// Fails if the recording contradicts itself, or if its snapshot was written by another release.
pub fn replay_recording(
    line: usize,
    recording: &Recording,
    mut each: impl FnMut(&Decision),
) -> Result<Option<Deviation>, CaseError> {
    let error = |field: String, problem: String| CaseError::Meaning {
        line,
        case: recording.name.clone(),
        field,
        problem,
    };
    let policy = policy(&recording.spec).map_err(|problem| error("spec".to_owned(), problem))?;
    let mut scaler = match &recording.memory {
        None => Scaler::new(policy, Conditions::default()),
        Some(memory) => Snapshot::parse(memory)
            .and_then(|snapshot| Scaler::restore(policy, snapshot))
            .ok_or_else(|| {
                error(
                    "memory".to_owned(),
                    format!(
                        "corrupt, or written by another release: it is of {}, this is {}; replay it with that release",
                        recording.release,
                        env!("CARGO_PKG_VERSION")
                    ),
                )
            })?,
    };
    let mut first = None;
    for (index, step) in recording.steps.iter().enumerate() {
        for (number, fact) in step.facts.iter().enumerate() {
            apply(&mut scaler, fact)
                .map_err(|problem| error(format!("steps[{index}].facts[{number}]"), problem))?;
        }
        let now = Moment::at(Duration::from_nanos(step.at_nanos));
        let decision = scaler.decide(now, &(&step.target).into());
        each(decision);
        if let (None, Some(expected)) = (&first, &step.expect) {
            let found = comparable(decision, expected);
            if found != *expected {
                first = Some(Deviation {
                    recording: recording.name.clone(),
                    step: index,
                    at: now.since_origin().as_secs_f64(),
                    expected: expected.clone(),
                    found,
                });
            }
        }
    }
    Ok(first)
}

/// Returns the parts of a decision that the recording has, too.
fn comparable(decision: &Decision, expected: &Expected) -> Expected {
    let mut conditions = status_and_reason(&decision.conditions);
    conditions.retain(|kind, _| expected.conditions.contains_key(kind));
    Expected {
        desired: decision.desired(),
        conditions,
        explanation: expected.explanation.as_ref().map(|_| decision.to_string()),
    }
}

fn apply(scaler: &mut Scaler, recorded: &RecordedFact) -> Result<(), String> {
    let now = recorded.at();
    match &recorded.fact {
        Fact::Pod(pod) => scaler.apply_pod(now, PodUid::from(pod.uid.as_str()), pod.pod()),
        Fact::PodDeleted(uid) => scaler.remove_pod(&PodUid::from(uid.as_str())),
        Fact::Reading(reading) => scaler
            .learn(
                now,
                &PodUid::from(reading.uid.as_str()),
                reading.at(),
                &reading.reading(),
            )
            .map_err(|rejection| format!("the reading was rejected: {rejection}"))?,
        Fact::Wrote { from, to } => scaler.record_scale(now, *from, *to),
        Fact::WriteFailed(message) => scaler.record_scale_failure(message),
        Fact::Scheduled(replicas) => scaler.set_scheduled_floor(*replicas),
        Fact::Spec(spec) => scaler.set_policy(policy(spec)?),
    }
    Ok(())
}

fn policy(spec: &pushscale_api::PushScalerSpec) -> Result<Policy, String> {
    policy_of(spec).map_err(|problems| {
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} at {:.3} s (steps[{}]):",
            self.recording, self.at, self.step
        )?;
        for (what, decided) in [("expected", &self.expected), ("found   ", &self.found)] {
            let size = decided
                .desired
                .map_or("unknown".to_owned(), |size| size.to_string());
            write!(f, "  {what} {size}")?;
            if self.expected.conditions != self.found.conditions {
                for (kind, value) in &decided.conditions {
                    write!(f, ", {kind}={value}")?;
                }
            }
            match &decided.explanation {
                Some(explanation) => writeln!(f, ": {explanation}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
