//! The long-running tasks of a program, supervised.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::shutdown::Shutdown;

/// Tasks that must not end before shutdown.
#[derive(Debug, Default)]
pub struct Tasks {
    all: JoinSet<&'static str>,
    endless: Vec<AbortHandle>,
}

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
    /// Spawns a task that ends at shutdown.
    pub fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.all.spawn(async move {
            task.await;
            name
        })
    }

    /// Spawns a task that never ends by itself, such as a watch. Shutdown aborts it.
    pub fn spawn_endless(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.spawn(name, task);
        self.endless.push(task);
    }

    /// Waits until a task ends. Pends forever if there is none.
    async fn first_exit(&mut self) -> TaskExited {
        match self.all.join_next().await {
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
        for task in self.endless.drain(..) {
            task.abort();
        }
        let all_ended = async { while self.all.join_next().await.is_some() {} };
        Ok(timeout(grace, all_ended).await.is_ok())
    }
}
