//! Chooses the hold and the head-room by what each setting would have cost so far.
//!
//! A fleet that was scaled down and is needed again costs a start: pods that are paid for and do not serve yet, and
//! requests that wait for them. Whether a hold would have been cheaper depends on the load. Every five seconds, each of
//! 36 settings (length of the hold, head-room, with or without the trend) is therefore replayed in a small model of the
//! fleet. A setting pays for the pods that it would have kept, and a price for each violation second: one whose
//! arrivals the pods could not have served within four times the target latency. The cheapest setting is used. This is
//! the ski rental problem with measured prices.

use std::time::Duration;

use crate::policy::ViolationPrice;
use crate::snapshot::Snapshot;

use super::rules::Rule;
use crate::numbers::{single, whole};

/// The interval between two evaluations, in seconds.
pub(crate) const INTERVAL: u64 = 5;
const INTERVAL_SECONDS: usize = 5;

/// The holds, in seconds.
const HOLDS: [f64; 3] = [60.0, 300.0, 1200.0];

/// The head-room, as factors of the need.
const HEADROOMS: [f64; 6] = [1.0, 1.1, 1.2, 1.35, 1.5, 1.75];

/// Without and with the trend.
const TRENDS: usize = 2;

const SETTINGS: usize = HOLDS.len() * HEADROOMS.len() * TRENDS;

/// The longest hold, in evaluations.
const NEEDS: usize = 240;

/// The longest hold that a user can configure, in minutes.
const MINUTES: usize = 60;

/// Evaluations per minute.
const EVALUATIONS_PER_MINUTE: u32 = 12;

/// The longest start delay that is replayed, in evaluations.
const DELAYS: usize = 64;

/// The time constant of the costs, in seconds.
const COST_MEMORY: f64 = 7200.0;

/// The time constant of the usual need, which costs are relative to, in seconds.
const NEED_MEMORY: f64 = 600.0;

/// The saving that a setting needs to replace the initial one (300 s, no head-room, with the trend), in seconds of the
/// whole fleet: per unit of the natural logarithm by which hold and head-room differ, and for leaving out the trend.
const HOLD_DISTANCE: f64 = 300.0;
const HEADROOM_DISTANCE: f64 = 3000.0;
const TREND_DISTANCE: f64 = 100.0;
const INITIAL_HOLD: f64 = 300.0;

/// The fraction of a pod that is rounded down.
const ROUND_DOWN: f64 = 0.02;

/// A pod that is there is kept until the need is this fraction of a pod lower. At a need of about two pods, the third
/// one was deleted and ordered again within seconds: without this, 2.4% of the changes in the hostile scenarios are
/// reversed instead of 1.7%.
const KEEP: f64 = 0.03;

/// A hold and its head-room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The window whose highest need is held, in seconds.
    pub(crate) hold: f64,
    /// The factor for needs.
    pub(crate) headroom: f64,
    /// Whether the trend counts.
    pub(crate) trend: bool,
}

impl Setting {
    fn of(index: usize) -> Self {
        let (hold, rest) = (index % HOLDS.len(), index / HOLDS.len());
        Self {
            hold: HOLDS[hold],
            headroom: HEADROOMS[rest % HEADROOMS.len()],
            trend: rest / HEADROOMS.len() == 1,
        }
    }

    /// Returns the saving that this setting needs to replace the initial one, in seconds of the whole fleet.
    fn distance(self) -> f64 {
        HOLD_DISTANCE * (self.hold / INITIAL_HOLD).ln().abs()
            + HEADROOM_DISTANCE * self.headroom.ln()
            + if self.trend { 0.0 } else { TREND_DISTANCE }
    }

    /// Returns whole pods for a need, with head-room.
    pub(crate) fn pods(self, need: f64) -> f64 {
        (need * self.headroom - ROUND_DOWN).ceil().max(1.0)
    }

    /// Returns the whole pods that a past need holds of `current` ones. A fraction that is rounded down for a need
    /// holds a pod that is there, and so does a need that is only a little lower.
    pub(crate) fn held(self, need: f64, current: u32) -> u32 {
        let pods = need * self.headroom;
        // With one queue for all pods the need is whole.
        let kept = if pods.fract() > 0.0 { KEEP } else { 0.0 };
        let rounded_up = whole((pods + kept).ceil());
        whole(self.pods(need)).max(rounded_up.min(current))
    }
}

/// The pods that the load needs, as a fractional number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Need {
    /// At the current rate.
    pub(crate) now: f64,
    /// At the extrapolated rate.
    pub(crate) ahead: f64,
}

impl Need {
    fn of(self, trend: usize) -> f64 {
        if trend == 1 { self.ahead } else { self.now }
    }
}

/// The history of needs, and the cost of each setting over it.
#[derive(Clone, Debug)]
pub(crate) struct HoldBacktest {
    /// One need per evaluation, by trend.
    needs: [Ring<NEEDS>; TRENDS],
    /// The highest need of each minute by trend, for configured holds beyond [`NEEDS`].
    minutes: [Ring<MINUTES>; TRENDS],
    /// The highest need of each hold, one per evaluation, by trend and hold.
    held: [[Ring<DELAYS>; HOLDS.len()]; TRENDS],
    costs: [Cost; SETTINGS],
    /// The usual need.
    usual: f64,
    evaluations: u32,
    /// The highest need since the last evaluation, so that a scale-up in between is held as well.
    since: Need,
    /// The pods below which each second since the last evaluation would have been a violation second.
    required: [f32; INTERVAL_SECONDS],
    seconds: usize,
    chosen: usize,
}

/// What the chosen setting would have done since the last evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replayed {
    /// Pods that it would have kept, and those of them that were ready.
    pub(crate) kept: f64,
    pub(crate) serving: f64,
    /// The usual need, at least one pod.
    pub(crate) usual: f64,
    required: [f32; INTERVAL_SECONDS],
    recorded: usize,
}

impl Replayed {
    /// Returns a fleet with a steady number of pods, whose last seconds required others.
    #[cfg(test)]
    pub(crate) fn with(pods: f64, required: [f32; INTERVAL_SECONDS]) -> Self {
        Self {
            kept: pods,
            serving: pods,
            usual: pods,
            required,
            recorded: required.len(),
        }
    }

    /// Returns this with at most `max` pods. More pods than that are neither kept nor paid for.
    pub(crate) fn at_most(self, max: u32) -> Self {
        Self {
            kept: self.kept.min(max.into()),
            serving: self.serving.min(max.into()),
            ..self
        }
    }

    /// Returns the violation seconds with so many ready pods.
    pub(crate) fn violations(&self, pods: f64) -> f64 {
        let pods = single(pods);
        let required = self.required[..self.recorded].iter();
        required.filter(|required| **required > pods).count() as f64
    }
}

/// The cost of a setting: seconds of the whole fleet, and violation seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    kept: f32,
    violations: f32,
}

impl Default for HoldBacktest {
    fn default() -> Self {
        let first = (0..SETTINGS).find(|index| Setting::of(*index).distance() == 0.0);
        Self {
            needs: Default::default(),
            minutes: Default::default(),
            held: Default::default(),
            costs: [Cost::default(); SETTINGS],
            usual: 0.0,
            evaluations: 0,
            since: Need::default(),
            required: [0.0; INTERVAL_SECONDS],
            seconds: 0,
            chosen: first.unwrap_or(0),
        }
    }
}

impl HoldBacktest {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        for trend in 0..TRENDS {
            self.needs[trend].visit(snapshot);
            self.minutes[trend].visit(snapshot);
            for held in &mut self.held[trend] {
                held.visit(snapshot);
            }
        }
        for cost in &mut self.costs {
            snapshot.f32(&mut cost.kept);
            snapshot.f32(&mut cost.violations);
        }
        snapshot.f64(&mut self.usual);
        snapshot.u32(&mut self.evaluations);
        snapshot.f64(&mut self.since.now);
        snapshot.f64(&mut self.since.ahead);
        for pods in &mut self.required {
            snapshot.f32(pods);
        }
        snapshot.usize(&mut self.seconds);
        snapshot.usize(&mut self.chosen);
        self.chosen = self.chosen.min(SETTINGS - 1);
    }

    /// Returns the cheapest setting.
    pub(crate) fn setting(&self) -> Setting {
        Setting::of(self.chosen)
    }

    /// Returns the highest need of the last `window`, including the seconds since the last evaluation.
    pub(crate) fn highest(&self, window: Duration) -> f64 {
        let trend = usize::from(self.setting().trend);
        let window = window.as_secs_f64();
        let recent = self.needs[trend].highest(evaluations(window));
        let recent = recent.max(self.since.of(trend));
        let minutes = whole((window / 60.0).ceil()) as usize;
        if evaluations(window) > NEEDS {
            recent.max(self.minutes[trend].highest(minutes))
        } else {
            recent
        }
    }

    /// Records the need, once a second.
    pub(crate) fn record_need(&mut self, need: Need) {
        self.since.now = self.since.now.max(need.now);
        self.since.ahead = self.since.ahead.max(need.ahead);
    }

    /// Records the pods that serve a second's arrivals within four times the target latency, once a second.
    pub(crate) fn record_required(&mut self, pods: f64) {
        self.required[self.seconds % INTERVAL_SECONDS] = single(pods);
        self.seconds += 1;
    }

    /// Evaluates all settings, once every [`INTERVAL`]; `delay` is the start delay of a pod in seconds.
    ///
    /// Returns what the one that was chosen until now would have done, with the closest hold if the user configures
    /// one.
    pub(crate) fn evaluate(
        &mut self,
        need: Need,
        delay: f64,
        price: ViolationPrice,
        hold: Option<Duration>,
    ) -> Replayed {
        self.evaluations = self.evaluations.saturating_add(1);
        let weight = (seconds(INTERVAL) / NEED_MEMORY).max(1.0 / f64::from(self.evaluations));
        self.usual += (need.now - self.usual) * weight;
        let usual = self.usual.max(1.0);
        let delay = evaluations(delay).clamp(1, DELAYS - 1);
        let since = std::mem::take(&mut self.since);
        let recorded = self.seconds.min(INTERVAL_SECONDS);
        self.seconds = 0;
        let started = self.evaluations as usize > delay + 1;
        let decay = single(1.0 - seconds(INTERVAL) / COST_MEMORY);
        let price = price.for_fleet(usual) / usual;
        let chosen_hold = self.chosen % HOLDS.len();
        let used_hold = hold.map_or(chosen_hold, closest_hold);
        let used = self.chosen - chosen_hold + used_hold;
        let mut replayed = Replayed {
            kept: 0.0,
            serving: 0.0,
            usual,
            required: self.required,
            recorded: if started { recorded } else { 0 },
        };
        let mut best = f64::INFINITY;
        for trend in 0..TRENDS {
            self.needs[trend].push(since.of(trend));
            if self.evaluations.is_multiple_of(EVALUATIONS_PER_MINUTE) {
                let highest = self.needs[trend].highest(EVALUATIONS_PER_MINUTE as usize);
                self.minutes[trend].push(highest);
            }
            for (hold, held) in self.held[trend].iter_mut().enumerate() {
                held.push(self.needs[trend].highest(evaluations(HOLDS[hold])));
                // Pods that have been kept for the whole start delay are ready now.
                let (kept, serving) = (held.highest(1), held.lowest(delay + 1));
                for headroom in 0..HEADROOMS.len() {
                    let index = (trend * HEADROOMS.len() + headroom) * HOLDS.len() + hold;
                    let setting = Setting::of(index);
                    if index == used {
                        replayed.kept = setting.pods(kept);
                        replayed.serving = setting.pods(serving);
                    }
                    let violations = replayed.violations(setting.pods(serving));
                    let cost = &mut self.costs[index];
                    cost.kept =
                        cost.kept * decay + single(seconds(INTERVAL) * setting.pods(kept) / usual);
                    cost.violations = cost.violations * decay + single(violations);
                    let total = f64::from(cost.kept)
                        + price * f64::from(cost.violations)
                        + setting.distance();
                    if total < best && Rule::Backtest.applies() {
                        (best, self.chosen) = (total, index);
                    }
                }
            }
        }
        replayed
    }
}

/// A ring of the newest numbers.
#[derive(Clone, Debug)]
struct Ring<const N: usize> {
    numbers: [f32; N],
    pushed: usize,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self {
            numbers: [0.0; N],
            pushed: 0,
        }
    }
}

impl<const N: usize> Ring<N> {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        for number in &mut self.numbers {
            snapshot.f32(number);
        }
        snapshot.usize(&mut self.pushed);
    }

    fn push(&mut self, number: f64) {
        self.numbers[self.pushed % N] = single(number);
        self.pushed += 1;
    }

    fn newest(&self, count: usize) -> impl Iterator<Item = f32> {
        let count = count.min(self.pushed).min(N);
        (self.pushed - count..self.pushed).map(|place| self.numbers[place % N])
    }

    fn highest(&self, count: usize) -> f64 {
        f64::from(self.newest(count).fold(0.0, f32::max))
    }

    fn lowest(&self, count: usize) -> f64 {
        f64::from(self.newest(count).fold(f32::INFINITY, f32::min))
    }
}

/// Returns the place of the longest of the [`HOLDS`] that is not longer, or of the shortest one.
fn closest_hold(hold: Duration) -> usize {
    let longest = HOLDS.iter().rposition(|one| *one <= hold.as_secs_f64());
    longest.unwrap_or(0)
}

fn evaluations(time: f64) -> usize {
    whole((time / seconds(INTERVAL)).round()) as usize
}

pub(super) fn seconds(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_pod_is_kept_until_the_need_is_lower_by_a_margin() {
        let setting = Setting {
            hold: 60.0,
            headroom: 1.0,
            trend: false,
        };
        for (need, current, held) in [
            (1.98, 3, 3),
            (1.94, 3, 2),
            // It orders none.
            (1.98, 2, 2),
            (2.01, 2, 2),
            (2.01, 3, 3),
            (1.98, 9, 3),
            // A need of one queue for all pods is whole.
            (2.0, 3, 2),
        ] {
            assert_eq!(setting.held(need, current), held, "{need} of {current}");
        }
    }

    /// Otherwise a need between two evaluations is dropped in the next second and returns with the evaluation.
    #[test]
    fn a_need_is_held_from_the_second_in_which_it_is_recorded() {
        let mut backtest = HoldBacktest::default();
        let need = |pods| Need {
            now: pods,
            ahead: pods,
        };
        let minute = Duration::from_secs(60);
        for second in 0..600_u64 {
            backtest.record_need(need(if second == 302 { 5.0 } else { 4.0 }));
            let held = backtest.highest(minute);
            match second {
                302..=360 => assert!(held > 4.9, "second {second}: {held}"),
                // The hold ends with an evaluation.
                361..=365 => {}
                _ => assert!(held < 4.1, "second {second}: {held}"),
            }
            if second.is_multiple_of(INTERVAL) {
                backtest.evaluate(need(4.0), 75.0, ViolationPrice::default(), None);
            }
        }
    }
}
