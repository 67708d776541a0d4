//! How long to hold and how much to pad, by what it would have cost to do so until now.
//!
//! A fleet that was let go and is needed again costs a start: pods that are paid for and do not serve, and requests
//! that wait for them. Whether holding it would have been cheaper depends on the load, so it is computed, not
//! chosen: every five seconds each of 36 settings (how long the highest need is held, how much is added to it,
//! whether the trend is followed) is replayed in a small model of the fleet. It costs the pods that it would have
//! kept, and so much for each second whose arrivals they could not have served within four times the target. The
//! cheapest setting is in force. It is the ski rental problem (rent, or buy again?) with the price measured.

use std::time::Duration;

use crate::snapshot::Snapshot;

use super::queueing::whole;

/// Between two looks, in seconds.
pub(crate) const EVERY: u64 = 5;
const SECONDS: usize = 5;

/// For how long the highest need is held, in seconds.
const HOLDS: [f64; 3] = [60.0, 300.0, 1200.0];

/// What the need is multiplied by.
const HEADROOMS: [f64; 6] = [1.0, 1.1, 1.2, 1.35, 1.5, 1.75];

/// The need at the rate now, and at the rate where the trend leads.
const TRENDS: usize = 2;

const SETTINGS: usize = HOLDS.len() * HEADROOMS.len() * TRENDS;

/// The longest hold, in looks.
const NEEDS: usize = 240;

/// The longest hold that a user may set, in minutes.
const MINUTES: usize = 60;

/// Looks a minute.
const LOOKS_A_MINUTE: u32 = 12;

/// The longest start delay that is replayed, in looks.
const DELAYS: usize = 64;

/// A harmed second of a fleet of one costs as much as its pod for so many seconds; of larger ones as much as so many
/// pod-seconds times the fourth root of their size. A bad second is a second of somebody's, however many pods
/// serve it: priced by the whole fleet, 350 random loads took 1.9 % more pod-hours and had 2.8 % more harmed seconds.
const HARM: f64 = 366.0;

/// What happened is forgotten with this time constant, in seconds.
const MEMORY: f64 = 7200.0;

/// The size that costs are relative to follows the need with this time constant, in seconds.
const SIZE_MEMORY: f64 = 600.0;

/// What a setting must have saved before it replaces the first one (300 s, nothing added, trend followed), in seconds
/// of the whole fleet: for each natural logarithm that the hold or the padding differs by, and without the trend.
const HOLD_DISTANCE: f64 = 300.0;
const HEADROOM_DISTANCE: f64 = 3000.0;
const TREND_DISTANCE: f64 = 100.0;
const FIRST_HOLD: f64 = 300.0;

/// Part of a pod that is not worth a pod.
const CRUMB: f64 = 0.02;

/// How to hold and pad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The highest need of so many seconds is held.
    pub(crate) hold: f64,
    /// Needs are multiplied by this.
    pub(crate) headroom: f64,
    /// The trend is followed.
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

    /// How far it is from the first setting, in seconds of the whole fleet.
    fn distance(self) -> f64 {
        HOLD_DISTANCE * (self.hold / FIRST_HOLD).ln().abs()
            + HEADROOM_DISTANCE * self.headroom.ln()
            + if self.trend { 0.0 } else { TREND_DISTANCE }
    }

    /// A need with what is added to it, in whole pods.
    pub(crate) fn pods(self, need: f64) -> f64 {
        (need * self.headroom - CRUMB).ceil().max(1.0)
    }
}

/// Pods that the load asks for, in fractions of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Need {
    /// At the rate now.
    pub(crate) now: f64,
    /// Where the trend leads.
    pub(crate) ahead: f64,
}

impl Need {
    fn of(self, trend: usize) -> f64 {
        if trend == 1 { self.ahead } else { self.now }
    }
}

/// The past, and what each setting would have cost in it.
#[derive(Clone, Debug)]
pub(crate) struct HoldBacktest {
    /// Needs, one a look, newest last; by trend.
    needs: [Ring<NEEDS>; TRENDS],
    /// The highest need of each minute, for holds that users set longer than ours; by trend.
    minutes: [Ring<MINUTES>; TRENDS],
    /// The highest need of each hold, one a look, newest last; by trend and hold.
    held: [[Ring<DELAYS>; HOLDS.len()]; TRENDS],
    costs: [Cost; SETTINGS],
    /// The usual size.
    size: f64,
    looks: u32,
    /// The highest need since the last look: a size that was ordered in between is not taken back at once.
    since: Need,
    /// Pods that each second since the last look would have needed.
    harmed_below: [f32; SECONDS],
    seconds: usize,
    chosen: usize,
}

/// In seconds of the whole fleet, and in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    kept: f32,
    harmed: f32,
}

impl Default for HoldBacktest {
    fn default() -> Self {
        let first = (0..SETTINGS).find(|index| Setting::of(*index).distance() == 0.0);
        Self {
            needs: Default::default(),
            minutes: Default::default(),
            held: Default::default(),
            costs: [Cost::default(); SETTINGS],
            size: 0.0,
            looks: 0,
            since: Need::default(),
            harmed_below: [0.0; SECONDS],
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
            snapshot.f32(&mut cost.harmed);
        }
        snapshot.f64(&mut self.size);
        snapshot.u32(&mut self.looks);
        snapshot.f64(&mut self.since.now);
        snapshot.f64(&mut self.since.ahead);
        for pods in &mut self.harmed_below {
            snapshot.f32(pods);
        }
        snapshot.usize(&mut self.seconds);
        snapshot.usize(&mut self.chosen);
        self.chosen = self.chosen.min(SETTINGS - 1);
    }

    /// The setting in force.
    pub(crate) fn setting(&self) -> Setting {
        Setting::of(self.chosen)
    }

    /// The highest need of the last `window`.
    pub(crate) fn highest(&self, window: Duration) -> f64 {
        let trend = usize::from(self.setting().trend);
        let window = window.as_secs_f64();
        let recent = self.needs[trend].highest(looks(window));
        let minutes = whole((window / 60.0).ceil()) as usize;
        if looks(window) > NEEDS {
            recent.max(self.minutes[trend].highest(minutes))
        } else {
            recent
        }
    }

    /// Once a second: what the load asks for.
    pub(crate) fn needs(&mut self, need: Need) {
        self.since.now = self.since.now.max(need.now);
        self.since.ahead = self.since.ahead.max(need.ahead);
    }

    /// Once a second: so many pods its arrivals would have taken to be served within four times the target.
    pub(crate) fn second(&mut self, pods: f64) {
        self.harmed_below[self.seconds % SECONDS] = single(pods);
        self.seconds += 1;
    }

    /// Once every five seconds.
    pub(crate) fn look(&mut self, need: Need, delay: f64) {
        self.looks = self.looks.saturating_add(1);
        let pace = (seconds(EVERY) / SIZE_MEMORY).max(1.0 / f64::from(self.looks));
        self.size += (need.now - self.size) * pace;
        let size = self.size.max(1.0);
        let delay = looks(delay).clamp(1, DELAYS - 1);
        let since = std::mem::take(&mut self.since);
        let told = self.seconds.min(SECONDS);
        self.seconds = 0;
        let started = self.looks as usize > delay + 1;
        let forget = single(1.0 - seconds(EVERY) / MEMORY);
        let harm = HARM * size.sqrt().sqrt() / size;
        let mut best = f64::INFINITY;
        for trend in 0..TRENDS {
            self.needs[trend].push(since.of(trend));
            if self.looks.is_multiple_of(LOOKS_A_MINUTE) {
                let highest = self.needs[trend].highest(LOOKS_A_MINUTE as usize);
                self.minutes[trend].push(highest);
            }
            for (hold, held) in self.held[trend].iter_mut().enumerate() {
                held.push(self.needs[trend].highest(looks(HOLDS[hold])));
                // Pods that were kept all the time since a start ago serve now.
                let (kept, serving) = (held.highest(1), held.lowest(delay + 1));
                for headroom in 0..HEADROOMS.len() {
                    let index = (trend * HEADROOMS.len() + headroom) * HOLDS.len() + hold;
                    let setting = Setting::of(index);
                    let serve = single(setting.pods(serving));
                    let harmed = self.harmed_below[..told]
                        .iter()
                        .filter(|pods| **pods > serve);
                    let harmed = if started { harmed.count() } else { 0 };
                    let cost = &mut self.costs[index];
                    cost.kept =
                        cost.kept * forget + single(seconds(EVERY) * setting.pods(kept) / size);
                    #[expect(clippy::cast_precision_loss, reason = "at most 5")]
                    let harmed = harmed as f32;
                    cost.harmed = cost.harmed * forget + harmed;
                    let total =
                        f64::from(cost.kept) + harm * f64::from(cost.harmed) + setting.distance();
                    if total < best {
                        (best, self.chosen) = (total, index);
                    }
                }
            }
        }
    }
}

/// The newest numbers.
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

fn looks(time: f64) -> usize {
    whole((time / seconds(EVERY)).round()) as usize
}

fn seconds(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    {
        count as f64
    }
}

fn single(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "pods and costs, seven digits of them"
    )]
    {
        value.min(1e9) as f32
    }
}
