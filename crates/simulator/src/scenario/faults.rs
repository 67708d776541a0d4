//! Parses and writes the faults of pods.

use std::fmt;

use super::values::{Value, list, write_span};
use crate::cluster::{Fault, PodCount};
use crate::quantity;

const EXAMPLES: &str = "die 2@600, freeze 1@600..720, hang 1@600..720, slow 1@600..1200x20, unready 50%@600..900, crash-loop 2@600/20+280, crash-waves 30%@600/300+60, restart-sidecars 50%@600 or never-ready 3@600";

pub(super) fn faults(text: &str) -> Value<Vec<Fault>> {
    list(text, EXAMPLES, fault)
}

fn fault(part: &str) -> Option<Fault> {
    let (kind, rest) = part.split_once(' ')?;
    let (pods, when) = rest.trim().split_once('@')?;
    if kind == "never-ready" {
        return Some(Fault::NeverReady {
            from: quantity::seconds(when)?,
            pods: number(pods)?,
        });
    }
    let pods = count(pods)?;
    match kind {
        "die" => Some(Fault::Die {
            at: quantity::seconds(when)?,
            pods,
        }),
        "restart-sidecars" => Some(Fault::RestartSidecars {
            at: quantity::seconds(when)?,
            pods,
        }),
        "freeze" => Some(Fault::Freeze {
            when: quantity::span(when)?,
            pods,
        }),
        "hang" => Some(Fault::Hang {
            when: quantity::span(when)?,
            pods,
        }),
        "slow" => {
            let (when, factor) = when.split_once('x')?;
            let factor = quantity::number(factor)?;
            (0.01..=10_000.0).contains(&factor).then_some(Fault::Slow {
                when: quantity::span(when)?,
                pods,
                factor,
            })
        }
        "unready" => Some(Fault::Unready {
            when: quantity::span(when)?,
            pods,
        }),
        "crash-loop" => {
            let (from, up, down) = crashes(when)?;
            Some(Fault::CrashLoop {
                from,
                pods,
                down,
                up,
            })
        }
        "crash-waves" => {
            let (from, every, down) = crashes(when)?;
            Some(Fault::CrashWaves {
                from,
                pods,
                every,
                down,
            })
        }
        _ => None,
    }
}

/// Parses `FROM/TIME+DOWN`, in seconds.
fn crashes(when: &str) -> Option<(usize, usize, usize)> {
    let (from, times) = when.split_once('/')?;
    let (time, down) = times.split_once('+')?;
    let (time, down) = (quantity::seconds(time)?, quantity::seconds(down)?);
    (time > 0 && down > 0).then_some((quantity::seconds(from)?, time, down))
}

fn number(text: &str) -> Option<u32> {
    let number = text.parse().ok();
    number.filter(|number| (1..=10_000).contains(number))
}

fn count(text: &str) -> Option<PodCount> {
    let Some(percent) = text.strip_suffix('%') else {
        return number(text).map(PodCount::Number);
    };
    let percent = quantity::number(percent)?;
    (0.0 < percent && percent <= 100.0).then_some(PodCount::Share(percent / 100.0))
}

impl fmt::Display for PodCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Share(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Die { at, pods } => write!(f, "die {pods}@{at}"),
            Self::RestartSidecars { at, pods } => write!(f, "restart-sidecars {pods}@{at}"),
            Self::Freeze { when, pods } => write!(f, "freeze {pods}@{}", write_span(when)),
            Self::Hang { when, pods } => write!(f, "hang {pods}@{}", write_span(when)),
            Self::Slow { when, pods, factor } => {
                write!(f, "slow {pods}@{}x{factor}", write_span(when))
            }
            Self::Unready { when, pods } => write!(f, "unready {pods}@{}", write_span(when)),
            Self::CrashLoop {
                from,
                pods,
                down,
                up,
            } => write!(f, "crash-loop {pods}@{from}/{up}+{down}"),
            Self::CrashWaves {
                from,
                pods,
                every,
                down,
            } => write!(f, "crash-waves {pods}@{from}/{every}+{down}"),
            Self::NeverReady { from, pods } => write!(f, "never-ready {pods}@{from}"),
        }
    }
}
