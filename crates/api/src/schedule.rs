//! `spec.schedules`: recurring minimum replica counts.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{self, parse_positive};
use crate::problem::SpecProblem;

/// A recurring minimum replica count. It applies from its cron time on, for its duration. A schedule without a duration
/// applies until the next one without a duration begins. The highest minimum that applies counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When the schedule begins: minute, hour, day of the month, month and day of the week, such as 30 7 * * 1-5.
    #[schemars(
        length(max = 128),
        regex(pattern = r"^[0-9A-Za-z*,/#?-]+( +[0-9A-Za-z*,/#?-]+){4}$")
    )]
    pub cron: String,
    /// The time zone of cron, such as Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9A-Za-z_+/-]+$"))]
    pub timezone: String,
    /// The minimum replica count.
    #[schemars(range(min = 1))]
    pub min_replicas: i32,
    /// How long the minimum applies, such as 10h or 1h30m. Default: until another schedule without a duration begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = duration::MAX_CHARS), regex(pattern = duration::PATTERN))]
    #[x_kube(
        validation = Rule::new(duration::FRACTION_RULE).message(duration::FRACTION_MESSAGE),
        validation = Rule::new("duration(self) > duration('0s')")
            .message("schedules[].duration must be greater than 0, such as 10h"),
    )]
    pub duration: Option<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The ranges in which the last start of a schedule is searched, in order: most schedules are daily or weekly, but
/// one may begin on the 29th of February.
const LOOK_BACK_HOURS: [i64; 6] = [1, 25, 8 * 24, 32 * 24, 367 * 24, 9 * 366 * 24];

/// No time zone changes its offset by more than this.
const MAX_CLOCK_CHANGE: SignedDuration = SignedDuration::from_hours(3);

/// The parsed schedules of a PushScaler.
#[derive(Clone, Debug, Default)]
pub struct Schedules(Vec<ParsedSchedule>);

#[derive(Clone, Debug)]
struct ParsedSchedule {
    /// Parsed as UTC, for local times. With a time zone, cronexpr skips times in a DST gap, returns repeated times
    /// twice, and loops forever in zones whose clock moves by half an hour.
    crontab: cronexpr::Crontab,
    timezone: TimeZone,
    replicas: u32,
    duration: Option<SignedDuration>,
}

/// The minimum that the schedules require at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The minimum replica count; `None` if no schedule applies.
    pub replicas: Option<u32>,
    /// When the minimum may change; `None` if never.
    pub until: Option<Timestamp>,
}

impl Schedules {
    /// Parses schedules.
    ///
    /// # Errors
    ///
    /// Returns all problems at once. The API server validates neither time zones nor that the cron time can occur.
    pub fn parse(schedules: &[Schedule]) -> Result<Self, Vec<SpecProblem>> {
        let mut problems = Vec::new();
        let parsed = schedules
            .iter()
            .enumerate()
            .filter_map(|(index, schedule)| parse(index, schedule, &mut problems))
            .collect();
        if problems.is_empty() {
            Ok(Self(parsed))
        } else {
            Err(problems)
        }
    }

    /// Returns the minimum at `now`.
    pub fn floor(&self, now: Timestamp) -> Floor {
        let mut replicas: Option<u32> = None;
        let mut until: Option<Timestamp> = None;
        let mut changes_at = |at: Option<Timestamp>| {
            if let Some(at) = at.filter(|at| *at > now) {
                until = Some(until.map_or(at, |until| until.min(at)));
            }
        };
        // The schedule without a duration that began last.
        let mut open: Option<(Timestamp, u32)> = None;
        for schedule in &self.0 {
            changes_at(schedule.next(now));
            let Some(began) = schedule.last(now) else {
                continue;
            };
            match schedule.duration {
                Some(duration) => {
                    let ends = began.checked_add(duration).ok();
                    if ends.is_some_and(|ends| ends > now) {
                        replicas = replicas.max(Some(schedule.replicas));
                        changes_at(ends);
                    }
                }
                None if open.is_none_or(|(latest, _)| began >= latest) => {
                    open = Some((began, schedule.replicas));
                }
                None => {}
            }
        }
        Floor {
            replicas: replicas.max(open.map(|(_, replicas)| replicas)),
            until,
        }
    }
}

impl ParsedSchedule {
    /// Returns the first start after `after`. A local time in a DST gap is shifted by the gap; of a repeated one, the
    /// first counts.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let earlier = after.checked_sub(MAX_CLOCK_CHANGE).ok()?;
        let offset = |at| i64::from(self.timezone.to_offset(at).seconds());
        // A time that was skipped within the last hours may still be ahead.
        let skipped = (offset(after) - offset(earlier)).max(0);
        let skipped = SignedDuration::from_secs(skipped);
        let mut local = self.timezone.to_datetime(after).checked_sub(skipped).ok()?;
        loop {
            let from = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
            let found = self.crontab.find_next(cronexpr::MakeTimestamp(from)).ok()?;
            local = found.datetime();
            let start = self.timezone.to_timestamp(local).ok()?;
            if start > after {
                return Some(start);
            }
        }
    }

    /// Returns the last start at or before `now`.
    fn last(&self, now: Timestamp) -> Option<Timestamp> {
        for hours in LOOK_BACK_HOURS {
            let from = now.checked_sub(SignedDuration::from_hours(hours)).ok()?;
            let mut found = None;
            let mut at = from;
            while let Some(next) = self.next(at).filter(|next| *next <= now) {
                found = Some(next);
                at = next;
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

fn parse(
    index: usize,
    schedule: &Schedule,
    problems: &mut Vec<SpecProblem>,
) -> Option<ParsedSchedule> {
    let mut problem = |field: &str, found: &str, expected| {
        problems.push(SpecProblem {
            field: format!("spec.schedules[{index}].{field}"),
            found: format!("{found:?}"),
            expected,
        });
    };
    let Ok(timezone) = TimeZone::get(&schedule.timezone) else {
        problem(
            "timezone",
            &schedule.timezone,
            "the name of a time zone, such as Europe/Berlin",
        );
        return None;
    };
    let text = format!("{} UTC", schedule.cron);
    let crontab = cronexpr::parse_crontab(&text).ok();
    let Some(crontab) = crontab.filter(|_| !has_extensions(&schedule.cron)) else {
        problem(
            "cron",
            &schedule.cron,
            "minute, hour, day of the month, month and day of the week, such as 30 7 * * 1-5",
        );
        return None;
    };
    let from = cronexpr::MakeTimestamp(Timestamp::UNIX_EPOCH);
    if crontab.find_next(from).is_err() {
        problem(
            "cron",
            &schedule.cron,
            "a date that exists, and none of these months has this day",
        );
        return None;
    }
    let duration = schedule.duration.as_deref().map(parse_positive);
    if duration == Some(None) {
        let text = schedule.duration.as_deref().unwrap_or_default();
        problem("duration", text, "a duration greater than 0, such as 10h");
        return None;
    }
    Some(ParsedSchedule {
        crontab,
        timezone,
        replicas: u32::try_from(schedule.min_replicas).ok()?,
        duration: duration.flatten(),
    })
}

/// Returns whether a crontab has `L`, `W` or `#`, such as the last day of a month, which cronexpr does not find in
/// December.
fn has_extensions(cron: &str) -> bool {
    let names = cron.to_ascii_uppercase();
    let rest = names.replace("JUL", "").replace("WED", "");
    rest.contains(['L', 'W', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, min_replicas: i32, duration: Option<&str>) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            min_replicas,
            duration: duration.map(ToOwned::to_owned),
        }
    }

    fn floor(schedules: &[Schedule], at: &str) -> (Option<u32>, String) {
        let floor = Schedules::parse(schedules)
            .unwrap()
            .floor(at.parse().unwrap());
        let until = floor
            .until
            .map_or("never".to_owned(), |until| until.to_string());
        (floor.replicas, until)
    }

    #[test]
    fn a_schedule_without_a_duration_applies_until_the_next_one() {
        let week = [
            schedule("0 8 * * 1-5", 6, None),
            schedule("0 20 * * 1-5", 2, None),
        ];
        // 2026-11-24 is a Tuesday; Berlin is an hour ahead of UTC in winter.
        let cases = [
            ("2026-11-24T06:59:59Z", 2, "2026-11-24T07:00:00Z"),
            ("2026-11-24T07:00:00Z", 6, "2026-11-24T19:00:00Z"),
            ("2026-11-24T19:00:00Z", 2, "2026-11-25T07:00:00Z"),
            // Friday evening's minimum applies all weekend.
            ("2026-11-29T12:00:00Z", 2, "2026-11-30T07:00:00Z"),
            // Summer time: two hours ahead.
            ("2026-07-07T06:30:00Z", 6, "2026-07-07T18:00:00Z"),
        ];
        for (at, replicas, until) in cases {
            assert_eq!(floor(&week, at), (Some(replicas), until.to_owned()), "{at}");
        }
    }

    #[test]
    fn a_schedule_with_a_duration_ends_and_the_highest_minimum_counts() {
        let both = [
            schedule("0 0 * * *", 2, None),
            schedule("0 12 * * *", 8, Some("90m")),
        ];
        assert_eq!(
            floor(&both, "2026-11-24T11:30:00Z"),
            (Some(8), "2026-11-24T12:30:00Z".to_owned())
        );
        assert_eq!(floor(&both, "2026-11-24T12:30:00Z").0, Some(2));
        let only = [schedule("0 12 * * *", 8, Some("90m"))];
        assert_eq!(floor(&only, "2026-11-24T09:00:00Z").0, None);
    }

    /// In Berlin, 02:00 to 03:00 does not exist on 2027-03-28, and exists twice on 2027-10-31.
    #[test]
    fn a_schedule_begins_once_on_days_on_which_the_clock_is_moved() {
        let night = [schedule("30 2 * * *", 8, Some("1h"))];
        let cases = [
            // Half past two is half past three in summer time.
            ("2027-03-28T00:30:00Z", None, "2027-03-28T01:30:00Z"),
            ("2027-03-28T01:10:00Z", None, "2027-03-28T01:30:00Z"),
            ("2027-03-28T01:40:00Z", Some(8), "2027-03-28T02:30:00Z"),
            ("2027-03-28T02:30:00Z", None, "2027-03-29T00:30:00Z"),
            // The first half past two.
            ("2027-10-31T00:10:00Z", None, "2027-10-31T00:30:00Z"),
            ("2027-10-31T00:40:00Z", Some(8), "2027-10-31T01:30:00Z"),
            ("2027-10-31T01:30:00Z", None, "2027-11-01T01:30:00Z"),
        ];
        for (at, replicas, until) in cases {
            assert_eq!(floor(&night, at), (replicas, until.to_owned()), "{at}");
        }
        // Nothing begins again in the hour that is repeated.
        let minutes = [schedule("* * * * *", 1, None)];
        let until = floor(&minutes, "2027-10-31T00:59:30Z").1;
        assert_eq!(until, "2027-10-31T02:00:00Z");
    }

    /// Its summer time is half an hour. One such schedule stopped the control loop of all PushScalers.
    #[test]
    fn half_hour_daylight_saving_is_supported() {
        let schedules = ["0 8 4 4 *", "0 8 * * *", "45 1 * * *"].map(|cron| Schedule {
            timezone: "Australia/Lord_Howe".to_owned(),
            ..schedule(cron, 2, None)
        });
        let found = schedules.map(|schedule| floor(&[schedule], "2027-04-03T14:00:00Z").1);
        let expected = [
            "2027-04-03T21:30:00Z",
            "2027-04-03T21:30:00Z",
            "2027-04-03T14:45:00Z",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_last_leap_day_is_found() {
        let leap = [schedule("0 0 29 2 *", 3, None)];
        assert_eq!(floor(&leap, "2027-06-01T00:00:00Z").0, Some(3));
    }

    #[test]
    fn problems_name_field_value_and_valid_values() {
        let wrong = [
            Schedule {
                timezone: "Mars/Olympus".to_owned(),
                ..schedule("0 8 * * *", 1, None)
            },
            schedule("0 25 * * *", 1, None),
            schedule("0 8 * * *", 1, Some("0h")),
            schedule("0 0 31 2,4,6,9,11 *", 1, None),
            schedule("0 0 L 12 *", 1, None),
            schedule("0 0 * JUL,AUG 5#2", 1, None),
        ];
        let problems = Schedules::parse(&wrong).unwrap_err();
        let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "spec.schedules[0].timezone is \"Mars/Olympus\": it must be the name of a time zone, such as Europe/Berlin",
                "spec.schedules[1].cron is \"0 25 * * *\": it must be minute, hour, day of the month, month and day of the week, such as 30 7 * * 1-5",
                "spec.schedules[2].duration is \"0h\": it must be a duration greater than 0, such as 10h",
                "spec.schedules[3].cron is \"0 0 31 2,4,6,9,11 *\": it must be a date that exists, and none of these months has this day",
                "spec.schedules[4].cron is \"0 0 L 12 *\": it must be minute, hour, day of the month, month and day of the week, such as 30 7 * * 1-5",
                "spec.schedules[5].cron is \"0 0 * JUL,AUG 5#2\": it must be minute, hour, day of the month, month and day of the week, such as 30 7 * * 1-5",
            ]
        );
    }
}
