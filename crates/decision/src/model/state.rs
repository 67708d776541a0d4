//! All that is remembered of one model of one fleet.

use std::sync::Arc;

use crate::moment::Moment;
use crate::reading::ModelReading;

use super::arrivals::Arrivals;
use super::backlog::Orders;
use super::calibration::Calibration;
use super::capacity::Occupancies;
use super::hindsight::Hindsight;
use super::ledger::Ledger;
use super::recurrence::Recurrence;
use super::service::Service;
use super::trace::Trace;

/// No pod counts more in a second than so many times what its workers can do: beyond that it is a broken counter
/// (decision.md I6).
const IMPOSSIBLE: f64 = 100.0;

/// The busiest that a pod was seen fades with this half-life, in seconds.
const BUSIEST_FADES: f64 = 3600.0;

/// All that is remembered of one model of one fleet. Some 12 kB.
#[derive(Clone, Debug)]
pub(crate) struct ModelState {
    pub(crate) name: Arc<str>,
    pub(super) ledger: Ledger,
    pub(super) arrivals: Arrivals,
    pub(super) service: Service,
    pub(super) calibration: Calibration,
    pub(super) occupancies: Occupancies,
    pub(super) orders: Orders,
    pub(super) recurrence: Recurrence,
    pub(super) hindsight: Hindsight,
    /// The second of the last turn of what turns once a second.
    pub(super) turned: u64,
    /// The second and the size of the first plan: it is held for a while (decision.md I0).
    pub(super) began: Option<(u64, u32)>,
    /// Most workers of one pod that were seen busy at a time, where nobody tells how many there are.
    pub(super) busiest: f64,
    /// Most answers a second and pod while requests waited everywhere, for batches.
    pub(super) peak: f64,
    /// Since when requests arrive and none is answered, and the size to stay at meanwhile.
    pub(super) stuck: Option<u32>,
    /// Since when waits are far over target with incomplete metrics.
    pub(super) late_since: Option<Moment>,
    /// Since when fewer answers are timed than given, in a row of seconds.
    pub(super) untimed: u64,
}

impl ModelState {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            ledger: Ledger::default(),
            arrivals: Arrivals::default(),
            service: Service::default(),
            calibration: Calibration::default(),
            occupancies: Occupancies::default(),
            orders: Orders::default(),
            recurrence: Recurrence::default(),
            hindsight: Hindsight::default(),
            turned: 0,
            began: None,
            busiest: 0.0,
            peak: 0.0,
            stuck: None,
            late_since: None,
            untimed: 0,
        }
    }

    /// Takes what one pod's reading says of this model; `None`: a good page that says nothing of it. `new`: since when
    /// all that the pod has counted is new. `serves`: it is one of the pods that requests go to.
    pub(crate) fn learn(
        &mut self,
        trace: &mut Trace,
        taken: Moment,
        reading: Option<&ModelReading>,
        new: Option<Moment>,
        serves: bool,
    ) {
        let Some(mut addition) = trace.take(taken, reading, new) else {
            return;
        };
        let elapsed = addition.to.since(addition.from).as_secs_f64();
        let delta = &mut addition.delta;
        if let Some(service) = self.service.known() {
            let slots = trace
                .queue
                .map_or(1, |queue| queue.workers.max(1) * queue.batch_size.max(1));
            let most = IMPOSSIBLE * f64::from(slots) / service * (elapsed + 1.0);
            if delta.arrivals > most || delta.answered > most {
                *delta = super::ledger::Delta::default();
            }
        }
        self.service.learn(delta);
        let place = &mut trace.place;
        self.ledger
            .add(addition.from, addition.to, place, *delta, serves);
    }

    pub(super) fn fade(&mut self) {
        self.service.fade();
        let kept = 1.0 - std::f64::consts::LN_2 / BUSIEST_FADES;
        self.busiest *= kept;
        self.peak *= kept;
    }
}
