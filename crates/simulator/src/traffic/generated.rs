//! Loads in a small language, on one line.
//!
//! | load | requests per second |
//! | --- | --- |
//! | `flat:200` | 200 |
//! | `step:100->400@600` | 100, then 400 from second 600 |
//! | `step:100->400@600,400->100@2400` | the same, then 100 again from second 2400 |
//! | `ramp:50->500@600+900` | 50, rising linearly for 900 s from second 600, then 500; commas separate further ramps |
//! | `sine:50..400/7200` | a sine wave between 50 and 400 with a period of 7200 s, starting at the minimum |
//! | `spikes:100^500x60/900` | 100, and 500 for 60 s after every 900 s |
//! | `random:7` | the load of the random scenario 7, which lasts one or two hours |
//! | `sine:5..20/3600 + spikes:0^80x30/600` | the sum of both |
//!
//! Times may have units: `step:100->400@10m`. The duration of a load is a separate setting. The number of arrivals in
//! each second has a Poisson distribution around the rate.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::quantity::{MAX_REQUESTS_PER_SECOND, duration, number, seconds};

/// A load that is parsed from one line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    text: String,
    parts: Vec<Part>,
}

/// Why a load cannot be parsed or generated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{part:?}: {problem}")]
pub struct LoadError {
    /// The invalid part.
    pub part: String,
    /// What is wrong, and what is expected.
    pub problem: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Flat(f64),
    /// Linear changes between two rates: from a second on, within a number of seconds, 0 for a step.
    Transitions(Vec<Transition>),
    Sine {
        low: f64,
        high: f64,
        period: f64,
    },
    Spikes {
        base: f64,
        high: f64,
        length: usize,
        every: usize,
    },
    Random(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Transition {
    from: f64,
    to: f64,
    at: usize,
    within: usize,
}

impl Load {
    /// Returns the load of the random scenario with this seed.
    pub(crate) fn random(seed: u64) -> Self {
        Self {
            text: format!("random:{seed}"),
            parts: vec![Part::Random(seed)],
        }
    }

    /// Returns the arrival rate of each second, in requests per second.
    ///
    /// # Errors
    /// The load is shorter than `seconds` (only a random load has an end), or the sum is too large.
    pub fn rates(&self, seconds: usize) -> Result<Vec<f64>, LoadError> {
        let mut sum = vec![0.0; seconds];
        for part in &self.parts {
            let random = match part {
                Part::Random(seed) => crate::scenario::random_rates(*seed),
                _ => Vec::new(),
            };
            if matches!(part, Part::Random(_)) && random.len() < seconds {
                let lasts = format!("it lasts {} s: set seconds to at most that", random.len());
                return Err(self.error(&lasts));
            }
            for (second, rate) in sum.iter_mut().enumerate() {
                *rate += match part {
                    Part::Random(_) => random[second],
                    other => other.rate(second),
                };
            }
        }
        if sum
            .iter()
            .any(|rate| *rate > f64::from(MAX_REQUESTS_PER_SECOND))
        {
            let problem = format!("more than {MAX_REQUESTS_PER_SECOND} requests in a second");
            return Err(self.error(&problem));
        }
        Ok(sum)
    }

    fn error(&self, problem: &str) -> LoadError {
        LoadError {
            part: self.text.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Part {
    fn rate(&self, second: usize) -> f64 {
        match self {
            Self::Flat(rate) => *rate,
            Self::Transitions(transitions) => rate_at(transitions, second),
            Self::Sine { low, high, period } => {
                let turn = 2.0 * PI * second as f64 / period - PI / 2.0;
                f64::midpoint(*low, *high) + (high - low) / 2.0 * turn.sin()
            }
            Self::Spikes {
                base,
                high,
                length,
                every,
            } => {
                let spikes = second >= *every && second % every < *length;
                if spikes { *high } else { *base }
            }
            Self::Random(_) => 0.0,
        }
    }
}

fn rate_at(transitions: &[Transition], second: usize) -> f64 {
    let Some(transition) = transitions
        .iter()
        .rev()
        .find(|transition| transition.at <= second)
    else {
        return transitions
            .first()
            .map_or(0.0, |transition| transition.from);
    };
    let passed = second - transition.at;
    // A ramp includes both ends: its last second has its last rate.
    if passed + 1 >= transition.within {
        return transition.to;
    }
    transition.from
        + (transition.to - transition.from) * passed as f64 / (transition.within - 1) as f64
}

impl FromStr for Load {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        let parts = text.split(" + ").map(|part| {
            parse_part(part.trim()).map_err(|problem| LoadError {
                part: part.trim().to_owned(),
                problem,
            })
        });
        Ok(Self {
            text: text.trim().to_owned(),
            parts: parts.collect::<Result<_, _>>()?,
        })
    }
}

fn parse_part(text: &str) -> Result<Part, String> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "flat" => Ok(Part::Flat(rate(rest, "such as flat:200")?)),
        "step" => parse_transitions(rest, false),
        "ramp" => parse_transitions(rest, true),
        "sine" => parse_sine(rest),
        "spikes" => parse_spikes(rest),
        "random" => rest
            .parse()
            .map(Part::Random)
            .map_err(|_| "a whole number must follow, such as random:7".to_owned()),
        _ => Err(format!(
            "unknown load {kind:?}: use flat:200, step:100->400@600, ramp:50->500@600+900, sine:50..400/7200, spikes:100^500x60/900, random:7"
        )),
    }
}

fn parse_transitions(text: &str, ramps: bool) -> Result<Part, String> {
    let example = if ramps {
        "such as ramp:50->500@600+900"
    } else {
        "such as step:100->400@600"
    };
    let mut transitions: Vec<Transition> = Vec::new();
    for part in text.split(',') {
        let shape = || format!("{part:?} must be FROM->TO@SECOND, {example}");
        let (rates, when) = part.split_once('@').ok_or_else(shape)?;
        let (from, to) = rates.split_once("->").ok_or_else(shape)?;
        let (at, within) = match (ramps, when.split_once('+')) {
            (true, Some((at, within))) => (at, whole(within, example)?.max(1)),
            (false, None) => (when, 0),
            _ => return Err(shape()),
        };
        let transition = Transition {
            from: rate(from, example)?,
            to: rate(to, example)?,
            at: whole(at, example)?,
            within,
        };
        if let Some(before) = transitions.last() {
            if (before.to - transition.from).abs() > f64::EPSILON * before.to {
                return Err(format!(
                    "{part:?} begins at {}, but the one before it ended at {}",
                    transition.from, before.to
                ));
            }
            if transition.at < before.at + before.within {
                let end = before.at + before.within;
                return Err(format!(
                    "{part:?} begins before the one before it ends, at second {end}"
                ));
            }
        }
        transitions.push(transition);
    }
    Ok(Part::Transitions(transitions))
}

fn parse_sine(text: &str) -> Result<Part, String> {
    let example = "such as sine:50..400/7200";
    let shape = || format!("LOW..HIGH/SECONDS must follow, {example}");
    let (rates, period) = text.split_once('/').ok_or_else(shape)?;
    let (low, high) = rates.split_once("..").ok_or_else(shape)?;
    let (low, high) = (rate(low, example)?, rate(high, example)?);
    if low > high {
        return Err(format!(
            "{low} is more than {high}: the lower rate is first"
        ));
    }
    let period = duration(period).filter(|period| *period >= 2.0);
    let period = period.ok_or_else(|| format!("a period is 2 s or more, {example}"))?;
    Ok(Part::Sine { low, high, period })
}

fn parse_spikes(text: &str) -> Result<Part, String> {
    let example = "such as spikes:100^500x60/900";
    let shape = || format!("BASE^HIGHxSECONDS/EVERY must follow, {example}");
    let (base, rest) = text.split_once('^').ok_or_else(shape)?;
    let (high, rest) = rest.split_once('x').ok_or_else(shape)?;
    let (length, every) = rest.split_once('/').ok_or_else(shape)?;
    let (length, every) = (whole(length, example)?, whole(every, example)?);
    if length == 0 || length >= every {
        return Err(format!(
            "a spike of {length} s every {every} s: a spike must last at least 1 s and less than its period"
        ));
    }
    Ok(Part::Spikes {
        base: rate(base, example)?,
        high: rate(high, example)?,
        length,
        every,
    })
}

fn rate(text: &str, example: &str) -> Result<f64, String> {
    number(text)
        .filter(|rate| *rate <= f64::from(MAX_REQUESTS_PER_SECOND))
        .ok_or_else(|| {
            format!(
                "{text:?} is not a rate: it must be 0 to {MAX_REQUESTS_PER_SECOND} requests per second, {example}"
            )
        })
}

fn whole(text: &str, example: &str) -> Result<usize, String> {
    seconds(text).ok_or_else(|| {
        format!("{text:?} is not a time: it must be whole seconds, up to a month, {example}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str, seconds: usize) -> Vec<f64> {
        text.parse::<Load>().unwrap().rates(seconds).unwrap()
    }

    #[test]
    fn each_line_makes_its_load() {
        assert_eq!(rates("flat:2", 3), [2.0, 2.0, 2.0]);
        assert_eq!(rates("step:1->4@2,4->1@3", 5), [1.0, 1.0, 4.0, 1.0, 1.0]);
        assert_eq!(
            rates("ramp:0->4@1+3,4->0@5+2", 8),
            [0.0, 0.0, 2.0, 4.0, 4.0, 4.0, 0.0, 0.0]
        );
        let sine = rates("sine:50..400/7200", 7200);
        assert!((sine[0] - 50.0).abs() < 1e-9 && (sine[3600] - 400.0).abs() < 1e-9);
        assert_eq!(
            rates("spikes:1^5x1/3", 7),
            [1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 5.0]
        );
        assert_eq!(rates("flat:1 + step:0->2@1", 2), [1.0, 3.0]);
        assert_eq!(rates("step:1->4@1m", 61)[59..], [1.0, 4.0]);
    }

    #[test]
    fn errors_name_the_problem() {
        let cases = [
            ("stairs:1", "unknown load \"stairs\": use flat:200"),
            ("flat:-1", "\"-1\" is not a rate"),
            ("flat:NaN", "\"NaN\" is not a rate"),
            ("flat:1e9", "0 to 1000000 requests per second"),
            (
                "step:1->2",
                "must be FROM->TO@SECOND, such as step:100->400@600",
            ),
            (
                "step:1->2@5,3->1@9",
                "begins at 3, but the one before it ended at 2",
            ),
            ("step:1->2@5,2->1@4", "begins before the one before it ends"),
            ("ramp:1->2@5", "such as ramp:50->500@600+900"),
            ("sine:9..3/60", "9 is more than 3"),
            ("sine:1..3/0", "a period is 2 s or more"),
            ("spikes:1^5x900/60", "a spike of 900 s every 60 s"),
            ("flat:1 + flat", "\"flat\": \"\" is not a rate"),
            ("random:x", "a whole number must follow"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Load>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let short = "random:1".parse::<Load>().unwrap().rates(7201);
        assert!(short.unwrap_err().to_string().contains("it lasts"));
    }
}
