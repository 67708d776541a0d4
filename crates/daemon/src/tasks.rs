//! The long-running tasks of a program, supervised.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::shutdown::Shutdown;

/// Tasks that must not end before shutdown.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<&'static str>);

/// A task ended before shutdown.
#[derive(Debug, Error)]
pub enum TaskExited {
    /// It returned.
    #[error("task exited unexpectedly: {0}")]
    Returned(&'static str),
    /// It panicked.
    #[error("task panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Tasks {
    /// Spawns a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits until a task ends. Pends forever if there is none.
    async fn first_exit(&mut self) -> TaskExited {
        match self.0.join_next().await {
            Some(Ok(name)) => TaskExited::Returned(name),
            Some(Err(error)) => TaskExited::Panicked(error),
            None => std::future::pending().await,
        }
    }

    /// Runs until `shutdown`, then waits up to `grace` for the tasks to end. Returns whether they did.
    ///
    /// # Errors
    /// If a task ends before shutdown.
    pub async fn run_until(
        &mut self,
        shutdown: &Shutdown,
        grace: Duration,
    ) -> Result<bool, TaskExited> {
        // Biased: once shutdown has begun, tasks are expected to end.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            exited = self.first_exit() => return Err(exited),
        }
        let all_ended = async { while self.0.join_next().await.is_some() {} };
        Ok(timeout(grace, all_ended).await.is_ok())
    }
}
