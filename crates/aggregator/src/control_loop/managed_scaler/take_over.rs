//! The change of the leader.

use pushscale_decision::Selector;
use tokio::time::Instant;

use super::ManagedScaler;
use super::publish::PublishedStatus;
use crate::control_loop::effect::{Context, Effects};
use crate::event::{ScalerDeletion, StoredStatus};

impl ManagedScaler {
    /// This aggregator has become the leader. The scale, the status and the checkpoint are read before they are
    /// written: the last view of them may be older than the previous leader's last write.
    pub(crate) fn take_over(&mut self, context: &Context, effects: &mut Effects) {
        self.replicas.take_over(context.instant);
        self.status_unread = Some(context.instant);
        // The status is written again, whatever the previous leader wrote.
        self.published = PublishedStatus::default();
        // The previous leader may know what happened before this aggregator started.
        self.checkpoint.read_again();
        self.wake_at(context.now, effects);
    }

    /// Whether a status that was read from `start` on is to be continued.
    pub(crate) fn awaits_status(&self, start: Instant) -> bool {
        self.status_unread.is_some_and(|since| start >= since)
    }

    /// Continues the status that the previous leader has written, if there is one of this object and target.
    pub(crate) fn continue_status(
        &mut self,
        context: &Context,
        stored: Option<StoredStatus>,
        effects: &mut Effects,
    ) {
        self.status_unread = None;
        let is_own = |stored: &StoredStatus| stored.uid == self.uid && stored.target == self.target;
        if let Some(stored) = stored.filter(is_own) {
            self.apply_deletion(ScalerDeletion {
                replicas_before: stored.replicas_before,
                ..self.deletion.clone()
            });
            let history = &mut self.status_history;
            history.replicas_before = self.deletion.replicas_before;
            history.transitions = stored.transitions;
            history.continue_changes(stored.last_scale_time, stored.changes);
        }
        self.record_predecessors_change(context.clock);
        self.wake_at(context.now, effects);
    }

    /// Whether most pods have reported, or nothing is decided for this scaler.
    pub(crate) fn is_warm(&self) -> bool {
        let Some(decision) = &self.last_decision else {
            return self.deletion.deleting || !self.spec_problems.is_empty();
        };
        // A read that failed shows no pods, which is not the same as pods that have reported.
        let is_read = matches!(self.replicas.scale(), Some(Ok(_)))
            && !matches!(self.pods_problem, Some(Selector::Unlisted { .. }));
        if self.writes && !is_read {
            return false;
        }
        let freshness = &decision.freshness;
        let silent = freshness.stale + freshness.never_reported;
        silent * 5 <= freshness.running()
    }
}
