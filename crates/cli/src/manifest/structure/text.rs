//! The length, the pattern and the format of a text.

use regex::Regex;

use super::super::go;
use super::super::problem::{Kind, Problem};
use super::super::schema::{Format, Schema};
use super::{Findings, invalid};

/// The first mistake alone is told.
pub(super) fn check(schema: &Schema, text: &str, path: &str) -> Findings {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(most) = schema.max_length
        && length > most
    {
        return Findings::of(Problem::too_long(path, most));
    }
    if let Some(least) = schema.min_length
        && length < least
    {
        let words = format!("should be at least {least} chars long");
        return Findings::of(invalid(path, text, &words));
    }
    if let Some(pattern) = &schema.pattern
        && !pattern.compiled.is_match(text)
    {
        let words = format!("should match '{}'", pattern.text);
        return Findings::of(invalid(path, text, &words));
    }
    Findings::default()
}

pub(super) fn check_format(format: Format, text: &str, path: &str) -> Findings {
    if format != Format::DateTime || is_date_time(text) {
        return Findings::default();
    }
    let name = format.name();
    let detail = format!(
        "{path} in body must be of type {name}: {}",
        go::quoted(text)
    );
    Findings::of(Problem::new(Kind::TypeInvalid, path, text, detail))
}

/// A date in the calendar and a time of day with its offset, as in RFC 3339. A second letter T ends it.
fn is_date_time(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    let shape = "^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$";
    let Ok(shape) = Regex::new(shape) else {
        return false;
    };
    let Some(time) = shape.captures(time) else {
        return false;
    };
    let up_to = |index, most| time.get(index).is_some_and(|part| part.as_str() <= most);
    let has_digits = date.len() == "2006-01-02".len();
    has_digits
        && chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok()
        && up_to(1, "23")
        && up_to(2, "59")
        && up_to(3, "59")
}
