//! Who is to set the size: a PushScaler, or what it is compared with.

use std::fs;
use std::path::Path;

use pushscale_api::{PushScalerSpec, policy_of};
use pushscale_daemon::error::chain;
use pushscale_decision::{Balancing, Mode, Policy};
use pushscale_simulator::control::{Controller, PushScaling, Rival};
use pushscale_simulator::scenario::Scenario;

use crate::manifest;

/// Who is to set the size.
pub(super) struct Contender {
    /// For the reader.
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    /// A PushScaler with nothing said but what the scenario asks for.
    Plain,
    Manifest(Box<PushScalerSpec>),
    Rival(Rival),
}

impl Contender {
    pub(super) fn plain() -> Self {
        Self {
            name: "pushscale".to_owned(),
            kind: Kind::Plain,
        }
    }

    /// A PushScaler from a file.
    ///
    /// # Errors
    /// What kubectl would say of it.
    pub(super) fn of_manifest(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let scaler = manifest::read(&text).map_err(|error| chain(&error).to_string())?;
        Ok(Self {
            name: file.display().to_string(),
            kind: Kind::Manifest(Box::new(scaler.spec)),
        })
    }

    /// By the word that stands in `--compare`.
    ///
    /// # Errors
    /// It is neither a rival nor a PushScaler.
    pub(super) fn of_word(word: &str) -> Result<Self, String> {
        let file = Path::new(word);
        if names_file(word) {
            let looks_otherwise = file
                .extension()
                .is_some_and(|extension| extension == "txt" || extension == "csv");
            return Self::of_manifest(file).map_err(|problem| {
                if looks_otherwise {
                    format!(
                        "{problem}\n(a scenario stands before --compare, or behind --compare=hpa)"
                    )
                } else {
                    problem
                }
            });
        }
        let rival: Rival = word
            .parse()
            .map_err(|error: pushscale_simulator::control::RivalError| error.to_string())?;
        Ok(Self {
            name: rival.to_string(),
            kind: Kind::Rival(rival),
        })
    }

    /// What it asks for, if it is a PushScaler with a file.
    fn policy(&self) -> Option<Policy> {
        match &self.kind {
            Kind::Manifest(spec) => policy_of(spec).ok(),
            Kind::Plain | Kind::Rival(_) => None,
        }
    }

    /// The scenario's keys that it answers, for those who do not.
    pub(super) fn keys(&self) -> Vec<(&'static str, String)> {
        let Some(policy) = self.policy() else {
            return Vec::new();
        };
        let mut keys = vec![
            ("min", policy.bounds.min().to_string()),
            ("max", policy.bounds.max().to_string()),
        ];
        if let Some(target) = strictest(&policy) {
            keys.push(("target", target.to_string()));
        }
        if policy.balancing == Balancing::LeastRequest {
            keys.push(("balancing", "least-outstanding".to_owned()));
        }
        keys
    }

    /// A new one for a run.
    ///
    /// # Errors
    /// It cannot be simulated in this scenario.
    pub(super) fn controller(&self, scenario: &Scenario) -> Result<Box<dyn Controller>, String> {
        match &self.kind {
            Kind::Rival(rival) => Ok(rival.controller(&scenario.world)),
            Kind::Plain => PushScaling::of_world(&scenario.world)
                .map(|scaling| -> Box<dyn Controller> { Box::new(scaling) })
                .ok_or_else(|| "no PushScaler may have such a target".to_owned()),
            Kind::Manifest(spec) => PushScaling::of_spec(spec, scenario.start)
                .map(|scaling| -> Box<dyn Controller> { Box::new(scaling) })
                .map_err(|error| error.to_string()),
        }
    }

    /// What a reader of its figures has to know.
    pub(super) fn notes(&self, scenario: &Scenario) -> Vec<String> {
        let Some(policy) = self.policy() else {
            return Vec::new();
        };
        let name = &self.name;
        let mut notes = Vec::new();
        let judged = scenario.world.goal.target;
        if let Some(asked) = strictest(&policy)
            && (asked - judged).abs() > 1e-9
        {
            notes.push(format!(
                "{name} asks for {}; violations are counted against the scenario's target, {}",
                super::figures::time(asked),
                super::figures::time(judged)
            ));
        }
        if policy.mode != Mode::Apply {
            notes.push(format!(
                "{name} has mode {:?}: it changes no size, here neither",
                policy.mode
            ));
        }
        notes
    }
}

/// The shortest wait that it asks for, in seconds.
fn strictest(policy: &Policy) -> Option<f64> {
    let targets = policy.metrics.iter().map(|metric| metric.target.latency());
    targets.min().map(|target| target.as_secs_f64())
}

/// Whether a word of `--compare` is meant to be a file.
pub(super) fn names_file(word: &str) -> bool {
    !Rival::is_meant(word) && (word.contains(['.', '/']) || Path::new(word).exists())
}

/// The words between commas; a comma between the settings of one (`hpa:scrape=5,window=20`) divides nothing.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match words.last_mut() {
            Some(before)
                if part.contains('=') && before.contains(':') && !Rival::is_meant(part) =>
            {
                before.push(',');
                before.push_str(part);
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_comma_between_settings_divides_nothing() {
        assert_eq!(
            words("hpa:scrape=5,window=20,kpa:delay=180, other.yaml,,oracle"),
            [
                "hpa:scrape=5,window=20",
                "kpa:delay=180",
                "other.yaml",
                "oracle"
            ]
        );
    }
}
