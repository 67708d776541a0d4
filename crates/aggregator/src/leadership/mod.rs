//! Leader election: of several aggregators, one writes.
//!
//! A [`Lease`](k8s_openapi::api::coordination::v1::Lease) names the leader. The rules are client-go's
//! (`tools/leaderelection`): another machine's clock is never trusted, every update carries the resource version, and
//! a leader that cannot renew stops writing before anyone else may take over. `election` is pure; `lease` does the
//! requests. The candidates ask [`Leadership`] at the moment of each write.

mod election;
mod lease;
mod record;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::Instant;

pub use lease::LeaseSettings;
pub(crate) use lease::run;

/// Until when this process leads. Clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    term: Arc<Mutex<Term>>,
    /// Every write holds a read lock.
    writes: Arc<RwLock<()>>,
}

#[derive(Clone, Copy, Debug)]
enum Term {
    Following,
    Until(Instant),
    /// The only aggregator, without a Lease.
    Unlimited,
}

impl Leadership {
    /// The leadership of an aggregator without competitors, which never ends.
    pub(crate) fn unlimited() -> Self {
        Self::new(Term::Unlimited)
    }

    /// The leadership of a candidate, which follows until it is elected.
    pub(crate) fn following() -> Self {
        Self::new(Term::Following)
    }

    fn new(term: Term) -> Self {
        Self {
            term: Arc::new(Mutex::new(term)),
            writes: Arc::default(),
        }
    }

    /// Whether this process leads at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        match *self.term.lock() {
            Term::Following => false,
            Term::Until(end) => Instant::now() < end,
            Term::Unlimited => true,
        }
    }

    /// Runs `write` if this process leads, and abandons it once it no longer does. Returns `None` if it was not run to
    /// its end; an abandoned write may still be stored.
    pub(crate) async fn write<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        let _writing = self.writes.read().await;
        // Biased: a process that was paused past its term must not continue with the write.
        tokio::select! {
            biased;
            () = self.lost() => None,
            result = write => Some(result),
        }
    }

    /// Waits until no write is in progress.
    async fn wait_for_writes(&self) {
        drop(self.writes.write().await);
    }

    /// Waits until this process no longer leads. The end moves while the Lease is renewed.
    async fn lost(&self) {
        loop {
            let term = *self.term.lock();
            match term {
                Term::Following => return,
                Term::Until(end) if Instant::now() >= end => return,
                Term::Until(end) => tokio::time::sleep_until(end).await,
                Term::Unlimited => std::future::pending().await,
            }
        }
    }

    pub(crate) fn lead_until(&self, end: Instant) {
        *self.term.lock() = Term::Until(end);
    }

    pub(crate) fn follow(&self) {
        *self.term.lock() = Term::Following;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself() {
        let leadership = Leadership::following();
        assert!(!leadership.is_leader());
        let end = Instant::now() + Duration::from_secs(7);
        leadership.lead_until(end);
        assert!(leadership.is_leader());
        leadership.lost().await;
        assert_eq!(Instant::now(), end);
        assert!(!leadership.is_leader());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_moves_the_end() {
        let leadership = Leadership::following();
        let begun = Instant::now();
        leadership.lead_until(begun + Duration::from_secs(7));
        let renewed = leadership.clone();
        let renewal = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            renewed.lead_until(begun + Duration::from_secs(12));
        };
        tokio::join!(leadership.lost(), renewal);
        assert_eq!(begun.elapsed(), Duration::from_secs(12));
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
}
