//! Tasks that are never lost sight of.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shutdown::Stop;

/// The parts of a program that must not end before it is told to.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<&'static str>);

/// A part ended that should not have.
#[derive(Debug, Error)]
pub enum Lost {
    /// It returned.
    #[error("keep {0} running: it ended by itself")]
    Ended(&'static str),
    /// It panicked.
    #[error("keep every part running: one panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Tasks {
    /// Starts a part.
    pub fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            part.await;
            name
        });
    }

    /// Waits until a part ends. Pends for ever if there is none.
    async fn first_lost(&mut self) -> Lost {
        match self.0.join_next().await {
            Some(Ok(name)) => Lost::Ended(name),
            Some(Err(error)) => Lost::Panicked(error),
            None => std::future::pending().await,
        }
    }

    /// Runs until `stop`, then gives the parts so long to end; says whether they did.
    ///
    /// # Errors
    /// If a part ended before it was told to.
    pub async fn run_until(&mut self, stop: &Stop, grace: Duration) -> Result<bool, Lost> {
        // In this order: once told to stop, the parts end as they should.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            lost = self.first_lost() => return Err(lost),
        }
        Ok(timeout(grace, self.all_ended()).await.is_ok())
    }

    /// Waits until all parts have ended, which they do once told to.
    async fn all_ended(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}
