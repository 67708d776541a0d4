//! Events about pods' owners.
//!
//! The only thing that the injector does in the cluster: it needs `create` and `patch` of `events` in the group
//! `events.k8s.io`, in every namespace, and nothing else.

use std::time::Duration;

use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admit::Telling;
use crate::metrics::Metrics;

/// Who tells.
const CONTROLLER: &str = "pushscale-injector";

/// How long one event may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The API server takes notes of up to 1024 bytes.
const LONGEST_NOTE: usize = 1000;

/// Tells until the channel closes. The same of the same owner becomes a count in one event.
pub(crate) async fn run(client: Client, mut tellings: mpsc::Receiver<Telling>, metrics: Metrics) {
    let reporter = Reporter {
        controller: CONTROLLER.to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client, reporter);
    while let Some(telling) = tellings.recv().await {
        let event = Event {
            type_: EventType::Warning,
            reason: telling.reason.to_owned(),
            note: Some(cut(telling.note)),
            action: "Inject".to_owned(),
            secondary: None,
        };
        let owner = telling.owner.name.as_deref().unwrap_or_default();
        match timeout(TIMEOUT, recorder.publish(&event, &telling.owner)).await {
            Ok(Ok(())) => metrics.event("Written"),
            Ok(Err(error)) => {
                metrics.event("Failed");
                tracing::warn!(owner, %error, "an event was not written");
            }
            Err(_) => {
                metrics.event("Failed");
                tracing::warn!(owner, "an event was not written: no answer");
            }
        }
    }
}

fn cut(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE));
        note.push('…');
    }
    note
}
