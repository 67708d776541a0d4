//! The values of one key between two values.

use std::str::FromStr;

use crate::quantity::{duration, number, write_duration};

/// The number of values if none is given.
const POINTS: usize = 8;

/// Maximum number of values.
const MAX_POINTS: usize = 50;

/// Values of a scenario's key, from `KEY=FROM..TO` or `KEY=FROM..TO/POINTS`, such as `target=10ms..1s`.
///
/// Their ratios are equal, or their differences if the first one is 0. They are rounded to three digits, and to whole
/// numbers if both ends are whole numbers without a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The key.
    pub key: String,
    /// Its values, in the format of a scenario file.
    pub values: Vec<String>,
    /// The same values as numbers: times in seconds, shares in percent.
    pub numbers: Vec<f64>,
}

/// What the two ends have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Whole,
    Number,
    Percent,
    Time,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || format!("{text:?} must be KEY=FROM..TO, such as target=10ms..1s");
        let (key, range) = text.split_once('=').ok_or_else(shape)?;
        let (range, points) = match range.split_once('/') {
            Some((range, points)) => {
                let points = points.parse().ok();
                let points = points.filter(|points| (2..=MAX_POINTS).contains(points));
                let expected = || format!("the number of points must be 2 to {MAX_POINTS}");
                (range, points.ok_or_else(expected)?)
            }
            None => (range, POINTS),
        };
        let (from, to) = range.split_once("..").ok_or_else(shape)?;
        let ((from, from_unit), (to, to_unit)) = parse(from).zip(parse(to)).ok_or_else(shape)?;
        if from >= to {
            return Err(format!("{text:?} must go from a lower to a higher value"));
        }
        let unit = match (from_unit, to_unit) {
            (one, other) if one == other => one,
            (Unit::Whole | Unit::Number, Unit::Whole | Unit::Number) => Unit::Number,
            // A number without a unit is a time in seconds.
            (Unit::Whole | Unit::Number, Unit::Time) | (Unit::Time, Unit::Whole | Unit::Number) => {
                Unit::Time
            }
            _ => return Err(shape()),
        };
        let mut values: Vec<String> = (0..points)
            .map(|index| {
                let share = index as f64 / (points - 1) as f64;
                let value = if from > 0.0 {
                    from * (to / from).powf(share)
                } else {
                    from + (to - from) * share
                };
                write(value, unit)
            })
            .collect();
        values.dedup();
        let numbers = values.iter().filter_map(|value| parse(value));
        Ok(Self {
            key: key.trim().to_owned(),
            numbers: numbers.map(|(number, _)| number).collect(),
            values,
        })
    }
}

fn parse(text: &str) -> Option<(f64, Unit)> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        return Some((number(percent)?, Unit::Percent));
    }
    if let Some(number) = number(text) {
        let whole = text.chars().all(|sign| sign.is_ascii_digit());
        return Some((number, if whole { Unit::Whole } else { Unit::Number }));
    }
    Some((duration(text)?, Unit::Time))
}

fn write(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Whole => format!("{}", value.round()),
        Unit::Number => format!("{}", rounded(value)),
        Unit::Percent => format!("{}%", rounded(value)),
        Unit::Time => write_duration(rounded(value)),
    }
}

/// Rounds to three digits.
fn rounded(value: f64) -> f64 {
    // The text of a number has the nearest decimal digits, which arithmetic would miss.
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        text.parse::<Sweep>().unwrap().values
    }

    #[test]
    fn values_lie_between_the_ends_at_equal_ratios() {
        assert_eq!(values("target=10ms..1s/3"), ["10ms", "100ms", "1s"]);
        assert_eq!(values("workers=1..8/4"), ["1", "2", "4", "8"]);
        assert_eq!(values("max=1..3/8"), ["1", "2", "3"]);
        assert_eq!(values("cv=0..1.5/4"), ["0", "0.5", "1", "1.5"]);
        assert_eq!(values("grpc-share=0%..100%/3"), ["0%", "50%", "100%"]);
        assert_eq!(values("target=10ms..1s").len(), 8);
    }

    #[test]
    fn each_value_has_its_number() {
        let numbers = |text: &str| text.parse::<Sweep>().unwrap().numbers;
        assert_eq!(numbers("target=10ms..1s/3"), [0.01, 0.1, 1.0]);
        assert_eq!(numbers("start-delay=0..300/3"), [0.0, 150.0, 300.0]);
        assert_eq!(numbers("max=1..3/8"), [1.0, 2.0, 3.0]);
        assert_eq!(numbers("grpc-share=0%..100%/3"), [0.0, 50.0, 100.0]);
    }

    #[test]
    fn wrong_sweeps_are_explained() {
        let cases = [
            ("target", "must be KEY=FROM..TO"),
            ("target=10ms", "must be KEY=FROM..TO"),
            ("target=1s..10ms", "from a lower to a higher value"),
            ("target=10ms..50%", "must be KEY=FROM..TO"),
            ("target=10ms..1s/1", "the number of points must be 2 to 50"),
            ("load=flat:1..flat:2", "must be KEY=FROM..TO"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Sweep>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
