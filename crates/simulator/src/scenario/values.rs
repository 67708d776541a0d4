//! Parsers for the values of a scenario's keys. Each error names the expected format.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use crate::cluster::{
    Balancing, Burst, Deletion, Gap, GrpcShare, LongRequests, Outage, Pareto, Rollout, Slow, WarmUp,
};
use crate::quantity;

pub(super) type Value<T> = Result<T, String>;

const DAY: f64 = 86_400.0;

pub(super) fn whole<T>(allowed: RangeInclusive<T>) -> impl Fn(&str) -> Value<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    move |text| {
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        let (least, most) = (allowed.start(), allowed.end());
        number.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
    }
}

pub(super) fn number(most: f64) -> impl Fn(&str) -> Value<f64> {
    move |text| {
        let number = quantity::number(text).filter(|number| *number <= most);
        number.ok_or_else(|| format!("it must be a number from 0 to {most}"))
    }
}

/// Parses a time from 1 µs to 24 h, in seconds.
pub(super) fn time(text: &str) -> Value<f64> {
    from(1e-6, text).ok_or_else(|| "it must be a time of 1us to 24h, such as 100ms".to_owned())
}

/// Parses a time from 1 s to 24 h, in seconds. The arrivals of users are drawn once per second.
pub(super) fn think_time(text: &str) -> Value<f64> {
    from(1.0, text).ok_or_else(|| "it must be a time of 1s to 24h, such as 5s".to_owned())
}

/// Parses a time from 0 to 24 h, in seconds.
pub(super) fn time_or_zero(text: &str) -> Value<f64> {
    from(0.0, text).ok_or_else(|| "it must be a time of up to 24h, such as 100ms".to_owned())
}

/// Parses a time from `least` seconds to 24 h, in seconds.
fn from(least: f64, text: &str) -> Option<f64> {
    quantity::duration(text).filter(|seconds| (least..=DAY).contains(seconds))
}

pub(super) fn seconds(least: usize) -> impl Fn(&str) -> Value<usize> {
    move |text| {
        let seconds = quantity::seconds(text).filter(|seconds| *seconds >= least);
        let most = quantity::MAX_SECONDS;
        seconds.ok_or_else(|| {
            format!("it must be whole seconds from {least} to {most}, such as 3600 or 1h")
        })
    }
}

/// Parses a time in whole seconds.
pub(super) fn whole_seconds(allowed: RangeInclusive<u32>) -> impl Fn(&str) -> Value<u32> {
    move |text| {
        let seconds = quantity::seconds(text).and_then(|seconds| u32::try_from(seconds).ok());
        let (least, most) = (allowed.start(), allowed.end());
        seconds
            .filter(|seconds| allowed.contains(seconds))
            .ok_or_else(|| format!("it must be whole seconds from {least} to {most}, such as 10s"))
    }
}

pub(super) fn balancing(text: &str) -> Value<Balancing> {
    match text {
        "random" => Ok(Balancing::Random),
        "least-outstanding" => Ok(Balancing::LeastOutstanding),
        "two-choices" => Ok(Balancing::TwoChoices),
        _ => Err("it must be random, least-outstanding or two-choices".to_owned()),
    }
}

pub(super) fn deletion(text: &str) -> Value<Deletion> {
    match text {
        "cost" => Ok(Deletion::Cost),
        "youngest" => Ok(Deletion::Youngest),
        _ => Err("it must be cost or youngest".to_owned()),
    }
}

pub(super) fn start_delay(text: &str) -> Value<(f64, f64)> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    from(0.0, least)
        .zip(from(0.0, most))
        .filter(|(least, most)| least <= most)
        .ok_or_else(|| "it must be a time of up to 24h, such as 60s, or 30s..120s".to_owned())
}

/// Splits `60s x3` into what is before the `x`, and the number after it; `None` if that is not allowed.
fn with_factor(text: &str, allowed: RangeInclusive<f64>) -> Option<(&str, f64)> {
    let (rest, factor) = text.split_once('x')?;
    let factor = quantity::number(factor).filter(|factor| allowed.contains(factor))?;
    Some((rest, factor))
}

/// Parses an exponent and a maximum. At 1 the mean of an unlimited Pareto distribution is infinite.
pub(super) fn pareto(text: &str) -> Value<Pareto> {
    let found = with_factor(text, 2.0..=100_000.0).and_then(|(exponent, max)| {
        let exponent = quantity::number(exponent)?;
        let is_valid = (1.05..=10.0).contains(&exponent);
        is_valid.then_some(Pareto { exponent, max })
    });
    found.ok_or_else(|| {
        "it must be an exponent of 1.05 to 10 and a maximum of 2 to 100000 means, such as 1.5 x1000"
            .to_owned()
    })
}

pub(super) fn long_requests(text: &str) -> Value<LongRequests> {
    let found = with_factor(text, 1.0..=10_000.0);
    let found = found.and_then(|(share, factor)| Some((percent(share)?, factor)));
    let found = found.map(|(share, factor)| LongRequests { share, factor });
    found.ok_or_else(|| {
        "it must be a share and a factor from 1 to 10000, such as 1% x100".to_owned()
    })
}

pub(super) fn warm_up(text: &str) -> Value<WarmUp> {
    let found = with_factor(text, 1.0..=100.0);
    let found = found.and_then(|(seconds, factor)| Some((from(0.0, seconds)?, factor)));
    let found = found.map(|(seconds, factor)| WarmUp { seconds, factor });
    found.ok_or_else(|| "it must be a time and a factor from 1 to 100, such as 60s x3".to_owned())
}

pub(super) fn slow(text: &str) -> Value<Vec<Slow>> {
    list(text, "1200..2400x2", |part| {
        let (when, factor) = with_factor(part, 0.01..=100.0)?;
        let when = quantity::span(when)?;
        Some(Slow { when, factor })
    })
}

pub(super) fn gaps(text: &str) -> Value<Vec<Gap>> {
    list(text, "1500..1800, or 1500..1800 30%", |part| {
        let (when, share) = span_and_share(part)?;
        Some(Gap { when, share })
    })
}

pub(super) fn outages(text: &str) -> Value<Vec<Outage>> {
    list(text, "1200..1800, or 1200..1800 90%", |part| {
        let (when, share) = span_and_share(part)?;
        Some(Outage { when, share })
    })
}

fn span_and_share(part: &str) -> Option<(Range<usize>, f64)> {
    let (when, share) = part.split_once(' ').unwrap_or((part, "100%"));
    let share = percent(share).filter(|share| *share > 0.0)?;
    Some((quantity::span(when)?, share))
}

pub(super) fn grpc_share(text: &str) -> Value<GrpcShare> {
    if let Some(share) = percent(text) {
        return Ok(GrpcShare::constant(share));
    }
    let points = text.split(',').map(|point| {
        let (share, at) = point.split_once('@')?;
        Some((quantity::seconds(at)?, percent(share)?))
    });
    let points: Option<Vec<_>> = points.collect();
    points.and_then(GrpcShare::changing).ok_or_else(|| {
        "it must be a share of 0% to 100%, such as 30%, or shares at increasing seconds, such as 0%@1200, 90%@6000"
            .to_owned()
    })
}

fn percent(text: &str) -> Option<f64> {
    let percent = quantity::number(text.trim().strip_suffix('%')?)?;
    (percent <= 100.0).then_some(percent / 100.0)
}

pub(super) fn bursts(text: &str) -> Value<Vec<Burst>> {
    list(text, "64@600, or 64@600/300", |part| {
        let (requests, when) = part.split_once('@')?;
        let (at, every) = match when.split_once('/') {
            Some((at, every)) => (at, Some(quantity::seconds(every)?)),
            None => (when, None),
        };
        let requests = requests.parse().ok()?;
        let valid = (1..=1_000_000).contains(&requests) && every != Some(0);
        valid.then_some(Burst {
            requests,
            at: quantity::seconds(at)?,
            every,
        })
    })
}

pub(super) fn rollouts(text: &str) -> Value<Vec<Rollout>> {
    list(text, "1200, or 1200x2", |part| {
        let (at, factor) = match part.contains('x') {
            true => with_factor(part, 0.01..=100.0)?,
            false => (part, 1.0),
        };
        let at = quantity::seconds(at)?;
        Some(Rollout { at, factor })
    })
}

pub(super) fn list<T>(
    text: &str,
    examples: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Value<Vec<T>> {
    let parts = text.split(',').map(str::trim);
    parts
        .map(|part| {
            parse(part).ok_or_else(|| format!("{part:?} must have a form such as {examples}"))
        })
        .collect()
}

/// Checks that events begin before the end of the run. A later event would have no effect, so it is an error.
pub(super) fn within(begins: impl Iterator<Item = usize>, end: usize) -> Value<()> {
    match begins.max() {
        Some(late) if late >= end => {
            Err(format!("second {late} is beyond the end, at second {end}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn write_span(span: &Range<usize>) -> String {
    format!("{}..{}", span.start, span.end)
}
