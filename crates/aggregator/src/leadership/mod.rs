//! Leader election: of several aggregators, one writes.
//!
//! A [`Lease`](k8s_openapi::api::coordination::v1::Lease) names the leader. The rules are client-go's
//! (`tools/leaderelection`): another machine's clock is never trusted, every update carries the resource version, and
//! a leader that cannot renew stops writing before anyone else may take over. `election` is pure; `lease` does the
//! requests. The candidates ask [`Leadership`] at the moment of each write.

mod election;
mod fuzzing;
mod lease;
mod record;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, watch};
use tokio::time::{Instant, timeout};

pub use fuzzing::LeaseCandidate;
pub use lease::LeaseSettings;
pub(crate) use lease::run;

/// Until when this process leads. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    term: watch::Sender<Term>,
    /// Every write of one term, such as that of a replica count, holds a read lock. What is reported does not.
    writes: Arc<RwLock<()>>,
}

/// The last term of this process as the leader.
#[derive(Clone, Copy, Debug)]
struct Term {
    /// Counts the terms: between two of them, another aggregator may have led.
    number: u64,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// The term has ended.
    Past,
    At(Instant),
    /// The only aggregator, without a Lease.
    Never,
}

impl Term {
    fn is_current(self) -> bool {
        match self.end {
            End::Past => false,
            End::At(end) => Instant::now() < end,
            End::Never => true,
        }
    }
}

impl Leadership {
    /// The leadership of an aggregator without competitors, which never ends.
    pub(crate) fn unlimited() -> Self {
        Self::new(End::Never)
    }

    /// The leadership of a candidate, which follows until it is elected.
    pub(crate) fn following() -> Self {
        Self::new(End::Past)
    }

    fn new(end: End) -> Self {
        Self {
            term: watch::Sender::new(Term { number: 0, end }),
            writes: Arc::default(),
        }
    }

    /// Returns the number of the current term; `None` while another aggregator may lead.
    pub(crate) fn term(&self) -> Option<u64> {
        let term = *self.term.borrow();
        term.is_current().then_some(term.number)
    }

    /// Runs `write` if this process leads, and abandons it once it no longer does. Returns `None` if it was not run to
    /// its end; an abandoned write may still be stored.
    pub(crate) async fn write<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        self.write_until_end(self.term()?, write).await
    }

    /// Like [`Self::write`], in this term only: what was decided in an earlier one may be out of date.
    pub(crate) async fn write_in<T>(&self, term: u64, write: impl Future<Output = T>) -> Option<T> {
        let _writing = self.writes.read().await;
        self.write_until_end(term, write).await
    }

    /// Like [`Self::write_in`], but a leader that resigns does not wait for it: for hints such as deletion costs.
    pub(crate) async fn write_until_end<T>(
        &self,
        term: u64,
        write: impl Future<Output = T>,
    ) -> Option<T> {
        // Biased: a process that was paused past its term must not continue with the write.
        tokio::select! {
            biased;
            () = self.ended(term) => None,
            result = write => Some(result),
        }
    }

    /// Ends the current term once the writes in flight have ended, or after `limit`; no other begins. Returns whether
    /// all have ended.
    pub(crate) async fn resign(&self, limit: Duration) -> bool {
        let ended = timeout(limit, self.writes.write()).await;
        self.follow();
        ended.is_ok()
    }

    /// Waits until this term ends. Its end moves while the Lease is renewed.
    async fn ended(&self, term: u64) {
        let mut changes = self.term.subscribe();
        loop {
            let current = *changes.borrow_and_update();
            if current.number != term || !current.is_current() {
                return;
            }
            let end = async {
                match current.end {
                    End::At(end) => tokio::time::sleep_until(end).await,
                    End::Past | End::Never => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => {}
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
            }
        }
    }

    /// Extends the current term, or begins one.
    pub(crate) fn lead_until(&self, end: Instant) {
        self.term.send_modify(|term| {
            if !term.is_current() {
                term.number += 1;
            }
            term.end = End::At(end);
        });
    }

    /// Ends the current term.
    pub(crate) fn follow(&self) {
        self.term.send_modify(|term| term.end = End::Past);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself() {
        let leadership = Leadership::following();
        assert_eq!(leadership.term(), None);
        let end = Instant::now() + Duration::from_secs(7);
        leadership.lead_until(end);
        assert_eq!(leadership.term(), Some(1));
        leadership.ended(1).await;
        assert_eq!(Instant::now(), end);
        assert_eq!(leadership.term(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_moves_the_end() {
        let leadership = Leadership::following();
        let start = Instant::now();
        leadership.lead_until(start + Duration::from_secs(7));
        let renewed = leadership.clone();
        let renewal = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            renewed.lead_until(start + Duration::from_secs(12));
        };
        tokio::join!(leadership.ended(1), renewal);
        assert_eq!(start.elapsed(), Duration::from_secs(12));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_abandoned_when_the_term_ends() {
        let leadership = Leadership::following();
        assert_eq!(leadership.write(async { 1 }).await, None);
        leadership.lead_until(Instant::now() + Duration::from_secs(7));
        assert_eq!(leadership.write(async { 1 }).await, Some(1));
        let slow = tokio::time::sleep(Duration::from_secs(8));
        assert_eq!(leadership.write(slow).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_of_an_earlier_term_does_not_begin() {
        let leadership = Leadership::following();
        let end = Instant::now() + Duration::from_secs(7);
        leadership.lead_until(end);
        assert_eq!(leadership.write_in(1, async { 1 }).await, Some(1));
        leadership.follow();
        leadership.lead_until(end);
        assert_eq!(leadership.write_in(1, async { 1 }).await, None);
        assert_eq!(leadership.write_in(2, async { 1 }).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_abandoned_at_once_when_another_candidate_leads() {
        let leadership = Leadership::following();
        let start = Instant::now();
        leadership.lead_until(start + Duration::from_secs(7));
        let follower = leadership.clone();
        let write = leadership.write(tokio::time::sleep(Duration::from_secs(5)));
        let end = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            follower.follow();
        };
        let (written, ()) = tokio::join!(write, end);
        assert_eq!(written, None);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        // A second term is a new one, even if the end of the first went unnoticed.
        leadership.lead_until(Instant::now() + Duration::from_secs(7));
        assert_eq!(leadership.term(), Some(2));
        leadership.lead_until(Instant::now() + Duration::from_secs(9));
        assert_eq!(leadership.term(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_resigns_after_its_last_write() {
        let leadership = Leadership::following();
        leadership.lead_until(Instant::now() + Duration::from_secs(7));
        let start = Instant::now();
        let write = leadership.write_in(1, tokio::time::sleep(Duration::from_millis(300)));
        let (written, (has_ended, next)) = tokio::join!(write, async {
            let resigned = leadership.resign(Duration::from_millis(500));
            // A write that is decided meanwhile does not begin.
            let next = leadership.write_in(1, async {});
            tokio::join!(resigned, next)
        });
        assert_eq!((written, has_ended, next), (Some(()), true, None));
        assert_eq!(start.elapsed(), Duration::from_millis(300));
        assert_eq!(leadership.term(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_takes_too_long_is_abandoned() {
        let leadership = Leadership::following();
        leadership.lead_until(Instant::now() + Duration::from_secs(7));
        let write = leadership.write_in(1, tokio::time::sleep(Duration::from_secs(5)));
        // A status does not delay the end.
        let status = leadership.write(tokio::time::sleep(Duration::from_secs(5)));
        let resigned = leadership.resign(Duration::from_millis(500));
        let start = Instant::now();
        let (written, status, has_ended) = tokio::join!(write, status, resigned);
        assert_eq!((written, status, has_ended), (None, None, false));
        assert_eq!(start.elapsed(), Duration::from_millis(500));
    }
}
