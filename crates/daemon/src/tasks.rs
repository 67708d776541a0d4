//! Tasks that are never lost sight of.

use std::future::Future;

use thiserror::Error;
use tokio::task::JoinSet;

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
    pub async fn first_lost(&mut self) -> Lost {
        match self.0.join_next().await {
            Some(Ok(name)) => Lost::Ended(name),
            Some(Err(error)) => Lost::Panicked(error),
            None => std::future::pending().await,
        }
    }

    /// Waits until all parts have ended, which they do once told to.
    pub async fn all_ended(&mut self) {
        while self.0.join_next().await.is_some() {}
    }
}
