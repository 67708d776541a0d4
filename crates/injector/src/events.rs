//! Writes events about the owners of pods.
//!
//! The injector needs no other permission than `create` and `patch` of `events` in the group `events.k8s.io`, in every
//! namespace.

use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use pushscale_daemon::error::chain;
use pushscale_daemon::log_limiter::LogLimiter;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admit::OwnerEvent;
use crate::metrics::{EventWrite, Metrics};

/// The reporting controller of the events.
const CONTROLLER: &str = "pushscale-injector";

/// The time limit for writing one event.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes events until the channel closes. The recorder counts repeated events of one owner in a single object.
pub(crate) async fn run(client: Client, mut events: mpsc::Receiver<OwnerEvent>, metrics: Metrics) {
    let reporter = Reporter {
        controller: CONTROLLER.to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client, reporter);
    let failure_log = LogLimiter::default();
    while let Some(OwnerEvent {
        owner,
        reason,
        note,
    }) = events.recv().await
    {
        let event = Event {
            type_: EventType::Warning,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Inject".to_owned(),
            secondary: None,
        };
        let name = owner.name.as_deref().unwrap_or_default();
        let error = match timeout(TIMEOUT, recorder.publish(&event, &owner)).await {
            Ok(Ok(())) => {
                metrics.event_writes.increment(EventWrite::Written);
                continue;
            }
            Ok(Err(error)) => chain(&error).to_string(),
            Err(_) => "the API server did not respond in time".to_owned(),
        };
        metrics.event_writes.increment(EventWrite::Failed);
        if let Some(left_out) = failure_log.allow(Instant::now()) {
            tracing::warn!(owner = name, error, left_out, "failed to write an event");
        }
    }
}
