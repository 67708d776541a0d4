//! Parsers for the values of a scenario's keys. Each error names the expected format.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use crate::cluster::{
    Balancing, Burst, Deletion, Gap, GrpcShare, LongRequests, Outage, Pareto, Rollout, Slow, WarmUp,
};
use crate::quantity;

pub(super) type Value<T> = Result<T, String>;

const DAY: f64 = 86_400.0;

pub(super) fn whole<T>(text: &str, allowed: RangeInclusive<T>) -> Value<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    text.parse::<T>()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            format!("it must be a whole number from {least} to {most}")
        })
}

pub(super) fn number(text: &str, most: f64) -> Value<f64> {
    quantity::number(text)
        .filter(|number| *number <= most)
        .ok_or_else(|| format!("it must be a number from 0 to {most}"))
}

/// Parses a time from 1 µs to 24 h, in seconds.
pub(super) fn time(text: &str) -> Value<f64> {
    quantity::duration(text)
        .filter(|seconds| (1e-6..=DAY).contains(seconds))
        .ok_or_else(|| "it must be a time of 1us to 24h, such as 100ms".to_owned())
}

/// Parses a time from 1 s to 24 h, in seconds. The arrivals of users are drawn once per second.
pub(super) fn think_time(text: &str) -> Value<f64> {
    quantity::duration(text)
        .filter(|seconds| (1.0..=DAY).contains(seconds))
        .ok_or_else(|| "it must be a time of 1s to 24h, such as 5s".to_owned())
}

/// Parses a time from 0 to 24 h, in seconds.
pub(super) fn time_or_zero(text: &str) -> Value<f64> {
    quantity::duration(text)
        .filter(|seconds| *seconds <= DAY)
        .ok_or_else(|| "it must be a time of up to 24h, such as 100ms".to_owned())
}

pub(super) fn seconds(text: &str, least: usize) -> Value<usize> {
    quantity::seconds(text)
        .filter(|seconds| *seconds >= least)
        .ok_or_else(|| {
            let most = quantity::MAX_SECONDS;
            format!("it must be whole seconds from {least} to {most}, such as 3600 or 1h")
        })
}

/// Parses a time in whole seconds.
pub(super) fn whole_seconds(text: &str, allowed: RangeInclusive<u32>) -> Value<u32> {
    let seconds = quantity::seconds(text).and_then(|seconds| u32::try_from(seconds).ok());
    seconds
        .filter(|seconds| allowed.contains(seconds))
        .ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            format!("it must be whole seconds from {least} to {most}, such as 10s")
        })
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
    let time = |text| quantity::duration(text).filter(|seconds| *seconds <= DAY);
    time(least)
        .zip(time(most))
        .filter(|(least, most)| least <= most)
        .ok_or_else(|| "it must be a time of up to 24h, such as 60s, or 30s..120s".to_owned())
}

/// Parses an exponent and a maximum. At 1 the mean of an unlimited Pareto distribution is infinite.
pub(super) fn pareto(text: &str) -> Value<Pareto> {
    let parse = |text: &str| {
        let (exponent, max) = text.split_once('x')?;
        let (exponent, max) = (quantity::number(exponent)?, quantity::number(max)?);
        let valid = (1.05..=10.0).contains(&exponent) && (2.0..=100_000.0).contains(&max);
        valid.then_some(Pareto { exponent, max })
    };
    parse(text).ok_or_else(|| {
        "it must be an exponent of 1.05 to 10 and a maximum of 2 to 100000 means, such as 1.5 x1000"
            .to_owned()
    })
}

pub(super) fn long_requests(text: &str) -> Value<LongRequests> {
    let parse = |text: &str| {
        let (share, factor) = text.split_once('x')?;
        let (share, factor) = (percent(share)?, quantity::number(factor)?);
        (1.0..=10_000.0)
            .contains(&factor)
            .then_some(LongRequests { share, factor })
    };
    parse(text).ok_or_else(|| {
        "it must be a share and a factor from 1 to 10000, such as 1% x100".to_owned()
    })
}

pub(super) fn warm_up(text: &str) -> Value<WarmUp> {
    let parse = |text: &str| {
        let (seconds, factor) = text.split_once('x')?;
        let seconds = quantity::duration(seconds).filter(|seconds| *seconds <= DAY)?;
        let factor = quantity::number(factor)?;
        (1.0..=100.0)
            .contains(&factor)
            .then_some(WarmUp { seconds, factor })
    };
    parse(text)
        .ok_or_else(|| "it must be a time and a factor from 1 to 100, such as 60s x3".to_owned())
}

pub(super) fn slow(text: &str) -> Value<Vec<Slow>> {
    list(text, "1200..2400x2", |part| {
        let (when, factor) = part.split_once('x')?;
        let factor = quantity::number(factor)?;
        (0.01..=100.0).contains(&factor).then_some(Slow {
            when: quantity::span(when)?,
            factor,
        })
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
        let (at, factor) = part.split_once('x').unwrap_or((part, "1"));
        let factor = quantity::number(factor)?;
        (0.01..=100.0).contains(&factor).then_some(Rollout {
            at: quantity::seconds(at)?,
            factor,
        })
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
