//! The autoscalers that Pushscale can be compared with, by name.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Controller, Fixed, Hpa, HpaMetric, HpaOptions, Kpa, Oracle};
use crate::cluster::ClusterSpec;
use crate::quantity;

/// The baselines that users are offered, with an explanation of each.
pub const BASELINES: [(&str, &str); 4] = [
    (
        "hpa[:metric=latency,scrape=15,window=60,sync=15]",
        "the HorizontalPodAutoscaler with Prometheus; metric: latency, requests or utilisation, the last two with the computed utilisation as their target; scrape, window, sync: scrape interval, query range and sync period in seconds",
    ),
    (
        "kpa[:delay=180,utilisation=computed]",
        "Knative's concurrency rule; delay: its scale-down-delay in seconds, default 0; utilisation: its target percentage, default 70, or computed, which is the maximum at which the queueing formula meets the target",
    ),
    (
        "oracle",
        "knows the arrival rate two minutes ahead and computes the replicas that exactly meet the target",
    ),
    ("fixed:8", "a constant number of pods"),
];

/// An autoscaler that Pushscale can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The HorizontalPodAutoscaler.
    Hpa(HpaOptions),
    /// Knative's autoscaler.
    Kpa {
        /// Its `scale-down-delay`, in seconds.
        delay: usize,
        /// Its target utilisation.
        utilisation: Utilisation,
    },
    /// A controller that knows the future arrival rate.
    Oracle,
    /// A constant number of pods.
    Fixed(u32),
}

/// The target utilisation of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utilisation {
    /// In percent.
    Percent(u32),
    /// The maximum at which a pod meets the target by the queueing formula.
    Computed,
}

impl Utilisation {
    /// Knative's default.
    const DEFAULT: Self = Self::Percent(70);

    fn share(self, spec: &ClusterSpec) -> f64 {
        match self {
            Self::Percent(percent) => f64::from(percent) / 100.0,
            Self::Computed => spec.utilisation(),
        }
    }
}

/// Why a word does not name a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant's message describes it")]
pub enum BaselineError {
    #[error("{0:?} is neither one of {names} nor a file", names = names())]
    Unknown(String),
    #[error("{word:?}: {problem}")]
    Settings {
        /// The whole word.
        word: String,
        problem: String,
    },
}

impl Baseline {
    /// Creates the controller for one run.
    pub fn controller(&self, spec: &ClusterSpec) -> Box<dyn Controller + Send> {
        match *self {
            Self::Hpa(options) => Box::new(Hpa::new(options, spec)),
            Self::Kpa { delay, utilisation } => Box::new(Kpa::new(delay, utilisation.share(spec))),
            Self::Oracle => Box::new(Oracle::new(spec)),
            Self::Fixed(size) => Box::new(Fixed::new(size)),
        }
    }

    /// Returns whether a word starts with a baseline's name. Its settings may be invalid.
    pub fn is_named(word: &str) -> bool {
        let name = word.split(':').next().unwrap_or_default();
        usages().any(|usage| name_of(usage) == name)
    }
}

impl FromStr for Baseline {
    type Err = BaselineError;

    fn from_str(word: &str) -> Result<Self, BaselineError> {
        let (name, settings) = match word.split_once(':') {
            Some((name, settings)) => (name, Some(settings)),
            None => (word, None),
        };
        let wrong = |problem: String| BaselineError::Settings {
            word: word.to_owned(),
            problem,
        };
        let mut settings = Settings::parse(settings).map_err(wrong)?;
        let found = match name {
            "hpa" => {
                let default = HpaOptions::default();
                Self::Hpa(HpaOptions {
                    metric: settings.metric().map_err(wrong)?,
                    scrape: settings.seconds("scrape", default.scrape).map_err(wrong)?,
                    window: settings.seconds("window", default.window).map_err(wrong)?,
                    sync: settings.seconds("sync", default.sync).map_err(wrong)?,
                })
            }
            "kpa" => Self::Kpa {
                delay: settings.seconds("delay", 0).map_err(wrong)?,
                utilisation: settings.utilisation().map_err(wrong)?,
            },
            "oracle" => Self::Oracle,
            "fixed" => {
                let size = settings.alone.take();
                let size = size.as_deref().map(str::parse::<u32>);
                match size {
                    Some(Ok(size @ 1..=10_000)) => Self::Fixed(size),
                    _ => {
                        let expected = "give the number of pods, 1 to 10000, such as fixed:8";
                        return Err(wrong(expected.to_owned()));
                    }
                }
            }
            _ => return Err(BaselineError::Unknown(word.to_owned())),
        };
        settings.end(name).map_err(wrong)?;
        Ok(found)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hpa(HpaOptions {
                metric,
                scrape,
                window,
                sync,
            }) => {
                let default = HpaOptions::default();
                let mut settings = Vec::new();
                if *metric != default.metric {
                    settings.push(format!("metric={}", name_of_metric(*metric)));
                }
                if (*scrape, *window, *sync) != (default.scrape, default.window, default.sync) {
                    settings.push(format!("scrape={scrape},window={window},sync={sync}"));
                }
                write_word(f, "hpa", &settings)
            }
            Self::Kpa { delay, utilisation } => {
                let mut settings = Vec::new();
                if *delay > 0 {
                    settings.push(format!("delay={delay}"));
                }
                match utilisation {
                    same if *same == Utilisation::DEFAULT => {}
                    Utilisation::Percent(percent) => {
                        settings.push(format!("utilisation={percent}"))
                    }
                    Utilisation::Computed => settings.push("utilisation=computed".to_owned()),
                }
                write_word(f, "kpa", &settings)
            }
            Self::Oracle => f.write_str("oracle"),
            Self::Fixed(size) => write!(f, "fixed:{size}"),
        }
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, name: &str, settings: &[String]) -> fmt::Result {
    let colon = if settings.is_empty() { "" } else { ":" };
    write!(f, "{name}{colon}{}", settings.join(","))
}

const METRICS: [(&str, HpaMetric); 3] = [
    ("latency", HpaMetric::Latency),
    ("requests", HpaMetric::Requests),
    ("utilisation", HpaMetric::Utilisation),
];

fn name_of_metric(metric: HpaMetric) -> &'static str {
    let found = METRICS.iter().find(|(_, other)| *other == metric);
    found.map_or("", |(name, _)| name)
}

fn usages() -> impl Iterator<Item = &'static str> {
    BASELINES.iter().map(|(usage, _)| *usage)
}

fn name_of(usage: &str) -> &str {
    usage.split(['[', ':']).next().unwrap_or_default()
}

fn names() -> String {
    BASELINES.map(|(usage, _)| name_of(usage)).join(", ")
}

/// The settings after the colon: `key=value,…` or `key=value:…`, or a single word.
struct Settings {
    pairs: Vec<(String, String)>,
    alone: Option<String>,
}

impl Settings {
    fn parse(text: Option<&str>) -> Result<Self, String> {
        let mut settings = Self {
            pairs: Vec::new(),
            alone: None,
        };
        for part in text.into_iter().flat_map(|text| text.split([',', ':'])) {
            match part.split_once('=') {
                Some((key, _)) if settings.pairs.iter().any(|(known, _)| known == key) => {
                    return Err(format!("{key} is given twice"));
                }
                Some((key, value)) => settings.pairs.push((key.to_owned(), value.to_owned())),
                None if settings.alone.is_none() => settings.alone = Some(part.to_owned()),
                None => return Err(format!("{part:?} is not key=value")),
            }
        }
        Ok(settings)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(index).1)
    }

    fn seconds(&mut self, key: &str, default: usize) -> Result<usize, String> {
        let Some(text) = self.take(key) else {
            return Ok(default);
        };
        quantity::seconds(&text)
            .filter(|number| (1..=3600).contains(number))
            .ok_or_else(|| format!("{key} is {text:?}: it must be 1 to 3600 whole seconds"))
    }

    fn metric(&mut self) -> Result<HpaMetric, String> {
        let Some(text) = self.take("metric") else {
            return Ok(HpaMetric::Latency);
        };
        let found = METRICS.iter().find(|(name, _)| *name == text);
        found.map(|(_, metric)| *metric).ok_or_else(|| {
            let names = METRICS.map(|(name, _)| name).join(", ");
            format!("metric is {text:?}: it must be one of {names}")
        })
    }

    fn utilisation(&mut self) -> Result<Utilisation, String> {
        match self.take("utilisation").as_deref() {
            None => Ok(Utilisation::DEFAULT),
            Some("computed") => Ok(Utilisation::Computed),
            Some(text) => {
                let percent = text.parse().ok();
                percent
                    .filter(|percent| (1..=100).contains(percent))
                    .map(Utilisation::Percent)
                    .ok_or_else(|| {
                        format!("utilisation is {text:?}: it must be computed, or 1 to 100 percent")
                    })
            }
        }
    }

    fn end(self, name: &str) -> Result<(), String> {
        let left = self.pairs.into_iter().map(|(key, _)| key).chain(self.alone);
        let left: Vec<String> = left.collect();
        if left.is_empty() {
            return Ok(());
        }
        let usage = usages().find(|usage| name_of(usage) == name);
        let usage = usage.unwrap_or_default();
        Err(format!(
            "{}: unknown setting; usage: {usage}",
            left.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Goal, simulate};
    use crate::traffic::Traffic;

    fn last_replicas(word: &str, spec: &ClusterSpec) -> u32 {
        let baseline: Baseline = word.parse().unwrap();
        let outcome = simulate(spec, baseline.controller(spec).as_mut(), 1);
        outcome.seconds.last().unwrap().desired
    }

    #[test]
    fn at_the_computed_utilisation_baselines_have_the_pods_of_the_formula() {
        // 10 busy workers at 75% utilisation.
        let spec = ClusterSpec {
            traffic: Traffic::Rates(vec![100.0; 1200]),
            pods: 8,
            ..ClusterSpec::default()
        };
        assert_eq!(spec.need(), 4);
        for word in [
            "hpa:metric=requests",
            "hpa:metric=utilisation",
            "kpa:utilisation=computed",
        ] {
            let replicas = last_replicas(word, &spec);
            assert!((4..=5).contains(&replicas), "{word}: {replicas}");
        }
        assert!(last_replicas("kpa:utilisation=30", &spec) >= 8);
    }

    #[test]
    fn an_hpa_on_a_high_utilisation_scales_saturated_pods_up() {
        let spec = ClusterSpec {
            traffic: Traffic::Rates(vec![100.0; 1200]),
            service: 0.4,
            workers: 8,
            pods: 2,
            goal: Goal {
                target: 0.8,
                ..ClusterSpec::default().goal
            },
            ..ClusterSpec::default()
        };
        assert!(spec.utilisation() > 0.91);
        assert!(last_replicas("hpa:metric=utilisation", &spec) >= spec.need());
    }

    #[test]
    fn every_baseline_parses_as_it_is_displayed() {
        for word in [
            "hpa",
            "hpa:scrape=5,window=20,sync=15",
            "hpa:metric=requests",
            "hpa:metric=utilisation,scrape=1,window=30,sync=15",
            "kpa",
            "kpa:delay=180",
            "kpa:delay=180,utilisation=computed",
            "kpa:utilisation=50",
            "oracle",
            "fixed:8",
        ] {
            assert!(Baseline::is_named(word));
            assert_eq!(word.parse::<Baseline>().unwrap().to_string(), word);
        }
        assert!(!Baseline::is_named("other.yaml"));
        assert!(
            !Baseline::is_named("qm2"),
            "a fixture of tests and benchmarks"
        );
        let other_separators = "hpa:scrape=5s:window=1m".parse::<Baseline>().unwrap();
        assert_eq!(
            other_separators.to_string(),
            "hpa:scrape=5,window=60,sync=15",
            "colons and units are accepted"
        );
    }

    #[test]
    fn invalid_settings_are_explained() {
        let cases = [
            ("hpb", "neither one of hpa, kpa, oracle, fixed nor a file"),
            ("qm2", "neither one of hpa, kpa, oracle, fixed nor a file"),
            (
                "hpa:scrape=0",
                "scrape is \"0\": it must be 1 to 3600 whole seconds",
            ),
            (
                "hpa:interval=15",
                "interval: unknown setting; usage: hpa[:metric=latency,scrape=15",
            ),
            (
                "hpa:metric=cpu",
                "metric is \"cpu\": it must be one of latency, requests, utilisation",
            ),
            ("kpa:180", "180: unknown setting; usage: kpa[:delay=180"),
            (
                "kpa:utilisation=0.7",
                "utilisation is \"0.7\": it must be computed, or 1 to 100 percent",
            ),
            ("fixed", "give the number of pods"),
            ("fixed:0", "give the number of pods"),
            ("kpa:delay=1,delay=2", "delay is given twice"),
        ];
        for (word, expected) in cases {
            let error = word.parse::<Baseline>().unwrap_err().to_string();
            assert!(error.contains(expected), "{word}: {error}");
        }
    }
}
