//! The autoscalers to simulate: PushScalers, and baselines to compare with.

use std::fs;
use std::path::Path;

use pushscale_api::{PushScalerSpec, policy_of};
use pushscale_daemon::error::chain;
use pushscale_decision::{Balancing, Mode, Policy};
use pushscale_simulator::control::{Baseline, Controller, PushScaling};
use pushscale_simulator::scenario::Scenario;

use crate::manifest;

/// The scenario's key for the price of a violation, whose values are points of a trade-off. It is not a property of the
/// cluster that an SLO could depend on.
pub(super) const PRICE: &str = "pod-seconds-per-violation";

/// An autoscaler to simulate.
pub(super) struct Candidate {
    /// The name to print.
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    /// A PushScaler with the scenario's target, minimum and maximum, and defaults for everything else.
    Plain,
    Manifest(Box<PushScalerSpec>),
    Baseline(Baseline),
}

impl Candidate {
    /// Returns the PushScaler with defaults.
    pub(super) fn plain() -> Self {
        Self {
            name: "pushscale".to_owned(),
            kind: Kind::Plain,
        }
    }

    /// Reads a PushScaler from a file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read, or with the error of `kubectl apply`.
    pub(super) fn from_manifest(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let scaler = manifest::read(&text).map_err(|error| chain(&error).to_string())?;
        Ok(Self {
            name: file.display().to_string(),
            kind: Kind::Manifest(Box::new(scaler.spec)),
        })
    }

    /// Returns a PushScaler of the cluster.
    pub(super) fn of_spec(name: &str, spec: &PushScalerSpec) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Manifest(Box::new(spec.clone())),
        }
    }

    /// Parses an item of `--compare`.
    ///
    /// # Errors
    ///
    /// Fails if it is neither a baseline nor a file with a PushScaler.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let file = Path::new(word);
        if is_file(word) {
            let is_scenario = file
                .extension()
                .is_some_and(|extension| extension == "txt" || extension == "csv");
            return Self::from_manifest(file).map_err(|problem| {
                if is_scenario {
                    format!("{problem}\n(give scenarios before --compare, or after --compare=hpa)")
                } else {
                    problem
                }
            });
        }
        let baseline: Baseline = word
            .parse()
            .map_err(|error: pushscale_simulator::control::BaselineError| error.to_string())?;
        Ok(Self {
            name: baseline.to_string(),
            kind: Kind::Baseline(baseline),
        })
    }

    /// Returns the policy of a PushScaler from a file.
    fn policy(&self) -> Option<Policy> {
        match &self.kind {
            Kind::Manifest(spec) => policy_of(spec).ok(),
            Kind::Plain | Kind::Baseline(_) => None,
        }
    }

    /// Returns the scenario's keys that a PushScaler from a file determines.
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

    /// Creates a controller for a run.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be simulated in this scenario.
    pub(super) fn controller(&self, scenario: &Scenario) -> Result<Box<dyn Controller>, String> {
        match &self.kind {
            Kind::Baseline(baseline) => Ok(baseline.controller(&scenario.cluster)),
            Kind::Plain => PushScaling::of_cluster(&scenario.cluster)
                .map(|scaling| -> Box<dyn Controller> { Box::new(scaling) })
                .ok_or_else(|| "invalid target for a PushScaler".to_owned()),
            Kind::Manifest(spec) => PushScaling::of_spec(spec, scenario.start)
                .map(|scaling| -> Box<dyn Controller> { Box::new(scaling) })
                .map_err(|error| error.to_string()),
        }
    }

    /// Returns what a reader of the results needs to know.
    pub(super) fn notes(&self, scenario: &Scenario) -> Vec<String> {
        let Some(policy) = self.policy() else {
            return Vec::new();
        };
        let name = &self.name;
        let mut notes = Vec::new();
        let expected = scenario.cluster.objective();
        if let Some(own) = strictest(&policy)
            && (own - expected).abs() > 1e-9
        {
            notes.push(format!(
                "{name} has the target {}; violations are counted against the scenario's target, {}",
                super::figures::time(own),
                super::figures::time(expected)
            ));
        }
        if policy.mode != Mode::Apply {
            notes.push(format!(
                "{name} has mode {:?}: it does not scale",
                policy.mode
            ));
        }
        notes
    }
}

/// Returns the lowest target of a policy, in seconds.
fn strictest(policy: &Policy) -> Option<f64> {
    let targets = policy.metrics.iter().map(|metric| metric.target.latency());
    targets.min().map(|target| target.as_secs_f64())
}

/// Whether an item of `--compare` is a file.
pub(super) fn is_file(word: &str) -> bool {
    !Baseline::is_named(word) && (word.contains(['.', '/']) || Path::new(word).exists())
}

/// Splits `--compare` at its commas, except those between the settings of one baseline (`hpa:scrape=5,window=20`).
pub(super) fn split(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        match items.last_mut() {
            Some(before)
                if part.contains('=') && before.contains(':') && !Baseline::is_named(part) =>
            {
                before.push(',');
                before.push_str(part);
            }
            _ => items.push(part.to_owned()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_comma_between_settings_does_not_split() {
        assert_eq!(
            split("hpa:scrape=5,window=20,kpa:delay=180, other.yaml,,oracle"),
            [
                "hpa:scrape=5,window=20",
                "kpa:delay=180",
                "other.yaml",
                "oracle"
            ]
        );
    }
}
