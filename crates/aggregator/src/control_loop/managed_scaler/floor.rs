//! What the schedules demand.

use jiff::Timestamp;
use pushscale_api::{Floor, Schedules};

/// The schedules, and their floor.
#[derive(Debug, Default)]
pub(super) struct ScheduledFloor {
    schedules: Schedules,
    /// The floor and when it was computed. Some schedules take milliseconds to compute.
    computed: Option<(Timestamp, Floor)>,
}

impl ScheduledFloor {
    pub(super) fn new(schedules: Schedules) -> Self {
        Self {
            schedules,
            computed: None,
        }
    }

    /// Returns what the schedules demand at `clock`.
    pub(super) fn at(&mut self, clock: Timestamp) -> Floor {
        let computed = self.computed.filter(|(computed, floor)| {
            // A clock that was set back may be before the floor's begin.
            *computed <= clock && floor.until.is_none_or(|until| clock < until)
        });
        if let Some((_, floor)) = computed {
            return floor;
        }
        let floor = self.schedules.floor(clock);
        self.computed = Some((clock, floor));
        floor
    }
}

#[cfg(test)]
mod tests {
    use pushscale_api::Schedule;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_floor_of_a_schedule_is_computed_once_until_it_changes() {
        let schedules: Vec<Schedule> = serde_json::from_value(json!([{
            "name": "day", "cron": "0 8 * * *", "duration": "8h", "timezone": "UTC", "minReplicas": 2,
        }]))
        .unwrap();
        let mut floor = ScheduledFloor::new(Schedules::parse(&schedules).unwrap());
        for (clock, expected) in [
            ("2026-03-02T07:59:59Z", None),
            ("2026-03-02T08:00:00Z", Some(2)),
            ("2026-03-02T12:00:00Z", Some(2)),
            ("2026-03-02T16:00:00Z", None),
            // The clock was set back.
            ("2026-03-02T15:00:00Z", Some(2)),
        ] {
            let floor = floor.at(clock.parse().unwrap());
            assert_eq!(floor.replicas, expected, "{clock}");
        }
    }
}
