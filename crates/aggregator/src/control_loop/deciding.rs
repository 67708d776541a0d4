//! Scalers that are due are asked, and what they answer is set in motion.

use std::sync::Arc;

use jiff::Timestamp;
use pushscale_api::recording::Recording;
use pushscale_decision::{Decision, Hold, Moment, Outcome};

use super::ControlLoop;
use crate::event::Event;
use crate::metrics::{DecisionOutcome, DeletionCost};
use crate::names::ScalerKey;

/// Facts that are kept of all scalers together, for whoever wants to know later why; a fact is some 300 bytes, and each
/// scaler keeps up to twice its share.
const FACTS_KEPT: usize = 32_000;

/// Facts that one scaler's stretch holds, at the least and at the most.
const LEAST_KEPT: usize = 64;
const MOST_KEPT: usize = 4000;

impl ControlLoop {
    /// What is kept of a scaler's decisions; `None`: there is no such scaler.
    pub(super) fn recordings(&self, key: &ScalerKey) -> Option<Vec<Recording>> {
        let entry = self.scalers.get(key)?;
        Some(match &entry.brain {
            Ok(scaler) => scaler.recordings(&key.to_string()),
            Err(_) => Vec::new(),
        })
    }

    pub(super) fn decide_due(&mut self) {
        if self.unlisted.scalers || self.unlisted.rivals.is_some() {
            return;
        }
        let now = self.now();
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(entry) = self.scalers.get_mut(&key) {
                entry.due = None;
                self.decide(now, &key);
                self.spare(&key);
            }
        }
        self.metrics.known(self.scalers.len(), self.directory.len());
    }

    fn decide(&mut self, now: Moment, key: &ScalerKey) {
        let kept = (FACTS_KEPT / self.scalers.len().max(1)).clamp(LEAST_KEPT, MOST_KEPT);
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        // While a write is under way the size is neither the old nor the new one; its end wakes us.
        if entry.writing {
            return;
        }
        let facts = entry.target_facts();
        let Ok(scaler) = &mut entry.brain else {
            self.tell_invalid(now, key);
            return;
        };
        let Some(facts) = facts else { return };
        let clock = Timestamp::now();
        let floor = entry.schedules.floor(clock);
        scaler.keep(kept);
        scaler.set_scheduled_floor(now, floor.replicas);
        let decision = scaler.decide(now, &facts);
        entry.decided = Some(now);
        entry.retry_at = None;
        self.metrics.decided(outcome_of(&decision));
        let wake_at = match floor
            .until
            .and_then(|until| (until - clock).try_into().ok())
        {
            Some(left) => decision.wake_at.min(now.plus(left)),
            None => decision.wake_at,
        };
        if let Outcome::Scale { from, to, reason } = &decision.outcome {
            tracing::info!(autoscaler = %key, current = from, desired = to, %reason, "{decision}");
            self.write(now, key, *from, *to);
        } else {
            tracing::debug!(autoscaler = %key, "{decision}");
        }
        self.tell(now, key, decision);
        self.mark_due(key, wake_at);
    }

    /// Tells the emptiest pods to go first if the size shrinks, and writes it, in a task of its own whose end is an event. Leadership will be asked here, at the moment
    /// of writing; until then one aggregator runs at a time.
    fn write(&mut self, now: Moment, key: &ScalerKey, from: u32, to: u32) {
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        entry.writing = true;
        let first = match from.checked_sub(to) {
            Some(fewer) => entry.leaving.choose(now, fewer),
            None => Vec::new(),
        };
        let scale_target = Arc::clone(&self.scale_target);
        let target = entry.target.clone();
        let events = self.itself.clone();
        let scaler = key.clone();
        let teller = self.teller.clone();
        tokio::spawn(async move {
            // A hint, and no condition: the size is written whatever became of it.
            if !first.is_empty() {
                let marked = scale_target.send_first(&target, &first).await;
                teller.note(&scaler, &marked, DeletionCost::Put);
            }
            let outcome = scale_target.write(&target, from, to).await;
            let wrote = Event::Wrote {
                scaler,
                from,
                to,
                outcome,
            };
            if events.send(wrote).await.is_err() {
                tracing::debug!("the loop had ended before a write did");
            }
        });
    }
}

fn outcome_of(decision: &Decision) -> DecisionOutcome {
    match &decision.outcome {
        Outcome::Scale { from, to, .. } if to > from => DecisionOutcome::ScaleUp,
        Outcome::Scale { .. } => DecisionOutcome::ScaleDown,
        Outcome::Recommend { .. } => DecisionOutcome::Recommended,
        Outcome::Hold(Hold::ModeOff) => DecisionOutcome::Off,
        Outcome::Hold(Hold::RightSize) => DecisionOutcome::RightSize,
        Outcome::Hold(Hold::TargetUnreadable) => DecisionOutcome::TargetUnreadable,
        Outcome::Hold(Hold::Conflict) => DecisionOutcome::Contested,
        Outcome::Hold(Hold::Disabled) => DecisionOutcome::Disabled,
        Outcome::Hold(Hold::SelectorUnusable) => DecisionOutcome::SelectorUnusable,
        Outcome::Hold(Hold::InsufficientData) => DecisionOutcome::NotEnoughKnown,
    }
}
