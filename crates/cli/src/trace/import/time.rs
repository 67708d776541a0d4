//! Times in logs and tables: RFC 3339, Common Log Format, and numbers since 1970. A time without an offset is UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;

/// The time in a line of the Common Log Format, between brackets.
const COMMON_LOG: &str = "%d/%b/%Y:%H:%M:%S %z";

/// The length of a time in the Common Log Format, such as `05/Jan/2026:08:00:00 +0000`.
const COMMON_LOG_LENGTH: usize = 26;

/// Numbers from these on are milliseconds, microseconds and nanoseconds since 1970. As seconds they would be times
/// after the year 5000.
const UNITS: [(f64, f64); 3] = [(1e17, 1e9), (1e14, 1e6), (1e11, 1e3)];

/// The latest time that a number may mean, in seconds since 1970: the year 5138.
const LATEST: f64 = 1e11;

/// The expected forms, for error messages.
pub(super) const FORMS: &str =
    "2026-01-05T08:00:00Z, 05/Jan/2026:08:00:00 +0000, or seconds or milliseconds since 1970";

/// Parses a time, and returns the second since 1970 in which it is.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    epoch(text)
        .or_else(|| date_and_time(text))
        .or_else(|| common_log(text))
}

/// Finds the first time in a line, and returns the second since 1970 in which it is. A number is a time only at the
/// start of the line.
pub(super) fn find(line: &str) -> Option<i64> {
    let first = line.split_whitespace().next()?;
    // Shorter numbers are process ids, status codes and the like.
    if first.len() >= 10
        && let Some(second) = epoch(first)
    {
        return Some(second);
    }
    let bytes = line.as_bytes();
    (0..bytes.len()).find_map(|start| {
        let begins =
            bytes[start].is_ascii_digit() && (start == 0 || !bytes[start - 1].is_ascii_digit());
        if !begins {
            return None;
        }
        if bytes.get(start + 2) == Some(&b'/') {
            return common_log(line.get(start..start + COMMON_LOG_LENGTH)?);
        }
        if bytes.get(start + 4) != Some(&b'-') {
            return None;
        }
        date_and_time(line.get(start..start + date_and_time_length(&bytes[start..])?)?)
    })
}

/// Parses a number of seconds, or of a smaller unit, since 1970.
pub(super) fn epoch_seconds(number: f64) -> Option<i64> {
    let unit = UNITS.iter().find(|(least, _)| number >= *least);
    let seconds = number / unit.map_or(1.0, |(_, per_second)| *per_second);
    if !(0.0..LATEST).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "not negative and not large"
    )]
    let second = seconds as i64;
    Some(second)
}

fn epoch(text: &str) -> Option<i64> {
    // A float may also be written as `inf` or `1e9`.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number {
        return None;
    }
    epoch_seconds(text.parse().ok()?)
}

fn date_and_time(text: &str) -> Option<i64> {
    // log4j, and with it TorchServe, writes a comma before the milliseconds.
    // Ruby and Go write a space before the offset.
    let text = text.replace(',', ".").replace(" +", "+").replace(" -", "-");
    if let Ok(time) = text.parse::<Timestamp>() {
        return not_before_1970(time);
    }
    let time = text.parse::<DateTime>().ok()?;
    not_before_1970(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn common_log(text: &str) -> Option<i64> {
    let time = strtime::parse(COMMON_LOG, text).ok()?;
    not_before_1970(time.to_timestamp().ok()?)
}

fn not_before_1970(time: Timestamp) -> Option<i64> {
    let second = time.as_second();
    (second >= 0).then_some(second)
}

/// Returns the length of a date and time at the start of a text, such as `2026-01-05 08:00:00,123+01:00`.
fn date_and_time_length(text: &[u8]) -> Option<usize> {
    const WITHOUT_FRACTION: usize = 19;
    const DIGITS: [usize; 14] = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18];
    if text.len() < WITHOUT_FRACTION || !matches!(text[10], b'T' | b't' | b' ') {
        return None;
    }
    if DIGITS.iter().any(|index| !text[*index].is_ascii_digit()) {
        return None;
    }
    let digits = |from: usize| {
        let rest = text.iter().skip(from);
        rest.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut length = WITHOUT_FRACTION;
    if matches!(text.get(length), Some(b'.' | b',')) && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if matches!(text.get(length..length + 2), Some(b" +" | b" -")) && digits(length + 2) == 4 {
        length += 1;
    }
    match text.get(length) {
        Some(b'Z' | b'z') => length += 1,
        Some(b'+' | b'-') => {
            let hours = digits(length + 1);
            let has_colon = hours == 2 && text.get(length + 3) == Some(&b':');
            if has_colon && digits(length + 4) == 2 {
                length += 6;
            } else if hours == 4 || hours == 2 {
                length += 1 + hours;
            }
        }
        _ => {}
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-05T08:00:00Z.
    const SECOND: i64 = 1_767_600_000;

    #[test]
    fn times_are_read_in_all_forms() {
        for text in [
            "2026-01-05T08:00:00Z",
            "2026-01-05 08:00:00.123456789Z",
            "2026-01-05T09:00:00+01:00",
            "2026-01-05 06:30:00 -0130",
            "2026-01-05T08:00:00",
            "2026-01-05T08:00:00,999",
            "1767600000",
            "1767600000.5",
            "1767600000123",
            "1767600000123456",
            "1767600000123456789",
            "[05/Jan/2026:03:00:00 -0500]",
        ] {
            assert_eq!(parse(text), Some(SECOND), "{text}");
        }
        for text in [
            "",
            "noon",
            "-5",
            "inf",
            "1e9",
            "2026-13-05T08:00:00Z",
            "1969-01-01T00:00:00Z",
            ".",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_time_of_a_line_is_found() {
        for line in [
            r#"10.0.0.7 - alice [05/Jan/2026:08:00:00 +0000] "POST /predictions/m HTTP/1.1" 200 12 "-" "curl/8.5""#,
            r#"[2026-01-05T08:00:00.204Z] "POST /predictions/m HTTP/1.1" 200 - via_upstream 2026-02-05T08:00:00Z"#,
            r#"{"level":"info","time":"2026-01-05T09:00:00.5+01:00","path":"/predictions/m"}"#,
            r#"2026-01-05T08:00:00,123 [INFO ] epollEventLoopGroup-3-1 ACCESS_LOG - /10.0.0.7:5 "POST /m HTTP/1.1" 200 9"#,
            r#"2026-01-05T08:00:00.123456789Z 10.0.0.7 "POST /m""#,
            r#"1767600000.123 200 "POST /m""#,
            "x 2026-01-05 08:00:00+0000",
            "x 2026-01-05 09:00:00.5 +0100 x",
            "2026-01-05 08:00:00-",
        ] {
            assert_eq!(find(line), Some(SECOND), "{line}");
        }
        for line in [
            "",
            "nothing",
            "12/Foo/2026:08:00:00 +0000",
            "200 2026-01-05",
            "1234567 POST",
            "2026-01-05T8:00",
        ] {
            assert_eq!(find(line), None, "{line}");
        }
    }
}
