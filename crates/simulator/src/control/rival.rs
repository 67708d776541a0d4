//! What Pushscale may be compared with, by name.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Controller, Fixed, Hpa, HpaOptions, Kpa, Oracle, Qm2, Qm2Options};
use crate::cluster::World;
use crate::quantity;

/// All there are, with what they are.
pub const RIVALS: [(&str, &str); 6] = [
    (
        "hpa[:scrape=15,window=60,sync=15]",
        "the HorizontalPodAutoscaler behind Prometheus: seconds between scrapes, of the query's range, between decisions",
    ),
    (
        "kpa[:delay=180]",
        "Knative's rule on concurrency; delay: its scale-down-delay in seconds, 0 unless given",
    ),
    (
        "oracle",
        "knows the rate two minutes ahead, and sizes exactly to the target",
    ),
    (
        "qm2[:kappa=off]",
        "the reference form of the queue model; kappa: its calibration, on unless given",
    ),
    ("qm[:kappa=off]", "its predecessor"),
    ("fixed:8", "so many pods all the time"),
];

/// Something that Pushscale may be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// The HorizontalPodAutoscaler.
    Hpa(HpaOptions),
    /// Knative's.
    Kpa {
        /// Its `scale-down-delay`, in seconds.
        delay: usize,
    },
    /// Who knows the future.
    Oracle,
    /// The reference form of the queue model.
    Qm2 {
        /// `false`: its predecessor.
        additions: bool,
        /// With its calibration.
        kappa: bool,
    },
    /// So many pods.
    Fixed(u32),
}

/// Why a word names no rival.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RivalError {
    /// There is none of this name.
    #[error("{0:?} is neither one of {names} nor a file", names = names())]
    Unknown(String),
    /// What stands behind the colon is wrong.
    #[error("{word:?}: {problem}")]
    Settings {
        /// All of it.
        word: String,
        /// What is wrong with it, and what it should be.
        problem: String,
    },
}

impl Rival {
    /// A new one for a run in this world.
    pub fn controller(&self, world: &World) -> Box<dyn Controller + Send> {
        match *self {
            Self::Hpa(options) => Box::new(Hpa::new(options)),
            Self::Kpa { delay } => Box::new(Kpa::new(delay)),
            Self::Oracle => Box::new(Oracle::new(world)),
            Self::Qm2 { additions, kappa } => Box::new(Qm2::new(Qm2Options {
                additions,
                calibrated: kappa,
                pooled: world.balancing.pooled(),
            })),
            Self::Fixed(size) => Box::new(Fixed::new(size)),
        }
    }

    /// Whether a word is meant to name one, right or wrong.
    pub fn is_meant(word: &str) -> bool {
        let name = word.split(':').next().unwrap_or_default();
        names().split(", ").any(|known| known == name)
    }
}

impl FromStr for Rival {
    type Err = RivalError;

    fn from_str(word: &str) -> Result<Self, RivalError> {
        let (name, settings) = match word.split_once(':') {
            Some((name, settings)) => (name, Some(settings)),
            None => (word, None),
        };
        let wrong = |problem: String| RivalError::Settings {
            word: word.to_owned(),
            problem,
        };
        let mut settings = Settings::of(settings).map_err(wrong)?;
        let found = match name {
            "hpa" => {
                let usual = HpaOptions::default();
                Self::Hpa(HpaOptions {
                    scrape: settings.seconds("scrape", usual.scrape).map_err(wrong)?,
                    window: settings.seconds("window", usual.window).map_err(wrong)?,
                    sync: settings.seconds("sync", usual.sync).map_err(wrong)?,
                })
            }
            "kpa" => Self::Kpa {
                delay: settings.seconds("delay", 0).map_err(wrong)?,
            },
            "oracle" => Self::Oracle,
            "qm" | "qm2" => Self::Qm2 {
                additions: name == "qm2",
                kappa: match settings.take("kappa").as_deref() {
                    None | Some("on") => true,
                    Some("off") => false,
                    Some(other) => {
                        return Err(wrong(format!("kappa is {other:?}: it must be on or off")));
                    }
                },
            },
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
            _ => return Err(RivalError::Unknown(word.to_owned())),
        };
        settings.end(name).map_err(wrong)?;
        Ok(found)
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hpa(options) if *options == HpaOptions::default() => f.write_str("hpa"),
            Self::Hpa(HpaOptions {
                scrape,
                window,
                sync,
            }) => write!(f, "hpa:scrape={scrape},window={window},sync={sync}"),
            Self::Kpa { delay: 0 } => f.write_str("kpa"),
            Self::Kpa { delay } => write!(f, "kpa:delay={delay}"),
            Self::Oracle => f.write_str("oracle"),
            Self::Qm2 { additions, kappa } => {
                f.write_str(if *additions { "qm2" } else { "qm" })?;
                f.write_str(if *kappa { "" } else { ":kappa=off" })
            }
            Self::Fixed(size) => write!(f, "fixed:{size}"),
        }
    }
}

fn names() -> String {
    let names = RIVALS.map(|(usage, _)| {
        let name = usage.split(['[', ':']).next();
        name.unwrap_or_default()
    });
    names.join(", ")
}

/// What stands behind the colon: `key=value,…` or `key=value:…`, or one word alone.
struct Settings {
    pairs: Vec<(String, String)>,
    alone: Option<String>,
}

impl Settings {
    fn of(text: Option<&str>) -> Result<Self, String> {
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
                None => return Err(format!("{part:?} is no key=value")),
            }
        }
        Ok(settings)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(place).1)
    }

    fn seconds(&mut self, key: &str, usual: usize) -> Result<usize, String> {
        let Some(text) = self.take(key) else {
            return Ok(usual);
        };
        quantity::seconds(&text)
            .filter(|number| (1..=3600).contains(number))
            .ok_or_else(|| format!("{key} is {text:?}: it must be 1 to 3600 whole seconds"))
    }

    fn end(self, name: &str) -> Result<(), String> {
        let left = self.pairs.into_iter().map(|(key, _)| key).chain(self.alone);
        let left: Vec<String> = left.collect();
        if left.is_empty() {
            return Ok(());
        }
        let usage = RIVALS.iter().map(|(usage, _)| *usage);
        let usage = usage
            .filter(|usage| usage.split(['[', ':']).next() == Some(name))
            .collect::<String>();
        Err(format!(
            "{} is not known here: it is {usage}",
            left.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rival_reads_as_it_is_written() {
        for word in [
            "hpa",
            "hpa:scrape=5,window=20,sync=15",
            "kpa",
            "kpa:delay=180",
            "oracle",
            "qm2",
            "qm:kappa=off",
            "fixed:8",
        ] {
            assert!(Rival::is_meant(word));
            assert_eq!(word.parse::<Rival>().unwrap().to_string(), word);
        }
        assert!(!Rival::is_meant("other.yaml"));
        let other_signs = "hpa:scrape=5s:window=1m".parse::<Rival>().unwrap();
        assert_eq!(
            other_signs.to_string(),
            "hpa:scrape=5,window=60,sync=15",
            "colons and units"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (
                "hpb",
                "neither one of hpa, kpa, oracle, qm2, qm, fixed nor a file",
            ),
            (
                "hpa:scrape=0",
                "scrape is \"0\": it must be 1 to 3600 whole seconds",
            ),
            (
                "hpa:interval=15",
                "interval is not known here: it is hpa[:scrape=15",
            ),
            ("kpa:180", "180 is not known here: it is kpa[:delay=180]"),
            ("qm2:kappa=1", "kappa is \"1\": it must be on or off"),
            ("fixed", "give the number of pods"),
            ("fixed:0", "give the number of pods"),
            ("kpa:delay=1,delay=2", "delay is given twice"),
        ];
        for (word, expected) in cases {
            let said = word.parse::<Rival>().unwrap_err().to_string();
            assert!(said.contains(expected), "{word}: {said}");
        }
    }
}
