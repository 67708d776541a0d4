//! Checkpoints store what a scaler has learned beyond the lifetime of the aggregators.
//!
//! Each aggregator reads the stored one when a scaler appears, and again when it becomes the leader. Only the leader
//! writes, and only after it has read: otherwise it would replace a week by what it has seen itself.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use pushscale_daemon::backoff::Backoff;
use pushscale_decision::{Clock, Moment};

use super::recorder::Recorder;
use crate::control_loop::effect::{Context, Effect, Learned, unix_time};
use crate::report::StoredCheckpoint;

/// Time between two writes of one scaler: as long as the longest bucket of what is learned.
const WRITE_INTERVAL: Duration = Duration::from_secs(600);

/// Backoff after failed reads.
const READ_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// When a scaler's checkpoint is read and written.
#[derive(Debug)]
pub(super) struct CheckpointState {
    read: Read,
    backoff: Backoff,
    /// When the next write is due. Followers only count the intervals.
    write_at: Moment,
    stored: StoredCheckpoint,
}

/// The state of the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It is due at this time; `None`: now.
    Due(Option<Moment>),
    InProgress {
        /// Whether another one is due afterwards.
        again: bool,
    },
    Done,
}

impl CheckpointState {
    /// The uid spreads the writes of all scalers over the interval.
    pub(super) fn new(now: Moment, uid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        let share = hasher.finish() % WRITE_INTERVAL.as_secs();
        Self {
            read: Read::Due(None),
            backoff: READ_BACKOFF,
            write_at: now.plus(Duration::from_secs(share)),
            stored: StoredCheckpoint::default(),
        }
    }

    /// Makes a read due.
    pub(super) fn read_again(&mut self) {
        self.read = match self.read {
            Read::InProgress { .. } => Read::InProgress { again: true },
            Read::Due(_) | Read::Done => Read::Due(None),
        };
    }

    /// Reads or writes the checkpoint if that is due. `engine` has learned something to store.
    pub(super) fn update(&mut self, context: &mut Context, engine: &Recorder) {
        if matches!(self.read, Read::Due(at) if at.is_none_or(|at| at <= context.now)) {
            self.begin_read(context);
        } else if self.takes_write(context.now)
            && context.leads
            && let Some(learned) = self.learned(context, engine)
        {
            context.push(Effect::WriteCheckpoint(learned));
        }
    }

    fn begin_read(&mut self, context: &mut Context) {
        self.read = Read::InProgress { again: false };
        context.push(Effect::ReadCheckpoint(self.stored.clone()));
    }

    /// Begins the read if one is due, however soon. Returns whether one is in progress.
    pub(super) fn finish_read(&mut self, context: &mut Context) -> bool {
        if let Read::Due(_) = self.read {
            self.begin_read(context);
        }
        self.read != Read::Done
    }

    /// Records the end of a read, and wakes the scaler for what follows.
    pub(super) fn read_finished(&mut self, context: &mut Context, succeeded: bool) {
        let again = self.read == Read::InProgress { again: true };
        if succeeded {
            self.backoff.reset();
            self.read = if again { Read::Due(None) } else { Read::Done };
            context.wake_at(context.now);
        } else {
            let at = context.now.plus(self.backoff.next_delay());
            self.read = Read::Due(Some(at));
            context.wake_at(at);
        }
    }

    /// Returns whether a write is due, and counts it.
    fn takes_write(&mut self, now: Moment) -> bool {
        if now < self.write_at {
            return false;
        }
        while self.write_at <= now {
            self.write_at = self.write_at.plus(WRITE_INTERVAL);
        }
        self.read == Read::Done
    }

    /// Returns what is to be written before the exit, if the stored checkpoint was read.
    pub(super) fn last(&self, context: &Context, engine: &Recorder) -> Option<Learned> {
        (self.read == Read::Done).then(|| self.learned(context, engine))?
    }

    /// Returns what was learned; `None` if that is nothing.
    fn learned(&self, context: &Context, engine: &Recorder) -> Option<Learned> {
        let checkpoint = engine.checkpoint(clock(context));
        (!checkpoint.models.is_empty()).then(|| Learned {
            checkpoint: Box::new(checkpoint),
            at: context.clock,
            stored: self.stored.clone(),
        })
    }
}

/// Returns the time of what is learned at the time of an input.
pub(super) fn clock(context: &Context) -> Clock {
    Clock {
        now: context.now,
        unix: unix_time(context.clock),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::*;

    fn context(second: u64) -> Context {
        let now = Moment::from_secs(second);
        Context::new(now, Instant::now(), Timestamp::UNIX_EPOCH, true)
    }

    #[test]
    fn a_read_is_repeated_after_a_failure_and_for_a_new_leader() {
        let mut state = CheckpointState::new(Moment::ORIGIN, "uid");
        let mut context = context(1);
        assert!(state.finish_read(&mut context));
        assert!(matches!(context.take().0[..], [Effect::ReadCheckpoint(_)]));
        state.read_finished(&mut context, false);
        let (effects, retry_at) = context.take();
        assert!(effects.is_empty() && retry_at > Some(context.now));
        assert!(state.finish_read(&mut context), "it begins at once");
        state.read_again();
        state.read_finished(&mut context, true);
        assert!(state.finish_read(&mut context), "one began too early");
        state.read_finished(&mut context, true);
        assert!(!state.finish_read(&mut context));
    }

    #[test]
    fn a_checkpoint_is_written_once_in_ten_minutes_and_only_after_it_was_read() {
        let mut state = CheckpointState::new(Moment::ORIGIN, "uid");
        assert!(!state.takes_write(Moment::from_secs(600)), "it is unread");
        state.read_finished(&mut context(600), true);
        assert!(!state.takes_write(Moment::from_secs(600)));
        assert!(state.takes_write(Moment::from_secs(1200)));
        assert!(!state.takes_write(Moment::from_secs(1200)));
    }
}
