//! `pushscale explain --at`: an earlier decision, from the aggregator's recordings or from `status.history`.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use pushscale_api::PushScaler;

use super::explanation::{Explanation, describe, subject};
use crate::CommandError;
use crate::cluster::{ClusterError, Connection};
use crate::output::{Colors, age};
use crate::replay::{read_lines, replay_recording};

/// A time that the user names: absolute, or as a duration before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PastTime {
    At(Timestamp),
    Ago(SignedDuration),
}

impl FromStr for PastTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        match text.parse::<SignedDuration>() {
            Ok(ago) if !ago.is_negative() => Ok(Self::Ago(ago)),
            _ => Err(
                "neither a time such as 2026-01-31T12:00:00Z nor a duration such as 10m".to_owned(),
            ),
        }
    }
}

impl PastTime {
    pub(super) fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Explains the decision that was the last one at `at`.
pub(super) async fn explain(
    scaler: &PushScaler,
    connection: Result<Connection, ClusterError>,
    at: Timestamp,
) -> Result<String, CommandError> {
    let recorded = match connection {
        Ok(connection) => recorded(scaler, &connection, at).await,
        Err(error) => Err(error.into()),
    };
    let problem = match recorded {
        Ok(Some(explanation)) => {
            return Ok(explanation.render(None, Timestamp::now(), Colors::detect()));
        }
        Ok(None) => "the aggregator's recordings begin later".to_owned(),
        Err(error) => pushscale_daemon::error::chain(&error).to_string(),
    };
    from_history(scaler, at, &problem)
}

/// Replays the recordings until `at`; `None` if they begin later.
async fn recorded(
    scaler: &PushScaler,
    connection: &Connection,
    at: Timestamp,
) -> Result<Option<Explanation>, CommandError> {
    let namespace = scaler.metadata.namespace.as_deref().unwrap_or_default();
    let name = scaler.metadata.name.as_deref().unwrap_or_default();
    // The times of a recording count from an origin of its aggregator, which the age of the last decision gives.
    let view = connection.scaler(namespace, name).await?;
    let Some(last) = &view.decision else {
        return Ok(None);
    };
    let since_origin = SignedDuration::try_from_secs_f64(last.at_seconds + last.age_seconds);
    let origin = since_origin
        .ok()
        .and_then(|since_origin| Timestamp::now().checked_sub(since_origin).ok());
    let Some(origin) = origin else {
        return Ok(None);
    };
    let path = format!("/debug/scalers/{namespace}/{name}/decisions.jsonl");
    let Some(page) = connection.get(&path).await? else {
        return Ok(None);
    };
    let mut found: Option<(Timestamp, Explanation)> = None;
    let case = |source| CommandError::Case {
        file: path.clone().into(),
        source,
    };
    for line in read_lines(page.as_ref()) {
        let (line, recording) = line.map_err(case)?;
        let each = |decision: &pushscale_decision::Decision| {
            let elapsed = SignedDuration::try_from(decision.at.since_origin());
            let decided = elapsed
                .ok()
                .and_then(|elapsed| origin.checked_add(elapsed).ok());
            if let Some(decided) = decided.filter(|decided| *decided <= at) {
                found = Some((decided, Explanation::of_decision(decision)));
            }
        };
        replay_recording(line, &recording, each).map_err(case)?;
    }
    Ok(found.map(|(decided, explanation)| Explanation {
        subject: subject(scaler),
        source: format!(
            "decided at {decided:.3}, {} ago, replayed from the recording of {}",
            age(Timestamp::now(), decided),
            connection.name()
        ),
        ..explanation
    }))
}

/// Describes the last change before `at`. `problem` is why there is no recording.
fn from_history(scaler: &PushScaler, at: Timestamp, problem: &str) -> Result<String, CommandError> {
    let history = scaler.status.iter().flat_map(|status| &status.history);
    let mut before = history.filter(|change| change.time.0 <= at);
    let Some(change) = before.next() else {
        return Err(CommandError::NothingRecorded {
            subject: subject(scaler),
            at,
            problem: problem.to_owned(),
        });
    };
    Ok(format!(
        "PushScaler {}\nfrom status.history, which has no steps: {problem}\n\nscaled at {:.0}: {}\n",
        subject(scaler),
        change.time.0,
        describe(change)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_relative() {
        let now = Timestamp::from_second(1000).unwrap();
        let time = |text: &str| text.parse::<PastTime>().map(|parsed| parsed.time(now));
        assert_eq!(time("10m"), Ok(Timestamp::from_second(400).unwrap()));
        assert_eq!(
            time("1970-01-01T00:00:05Z"),
            Ok(Timestamp::from_second(5).unwrap())
        );
        for invalid in ["", "yesterday", "-10m", "12:00"] {
            assert!(time(invalid).is_err(), "{invalid}");
        }
    }
}
