//! The aggregator's pages: `/debug/scalers` for tools, and the status page for people.

use std::time::Duration;

use hyper::StatusCode;
use pushscale_daemon::admin::Pages;
use pushscale_daemon::reply::{Reply, json, reply, text};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::Event;
use crate::names::ScalerKey;
use crate::status_page::{StatusPage, failed, scaler_key};

/// Timeout for the control loop's reply.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The aggregator's own admin pages. `/debug/scalers` asks the control loop, and costs nothing while unread.
/// The status page reads the history.
#[derive(Debug)]
pub(crate) struct AggregatorPages {
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) status_page: StatusPage,
}

impl Pages for AggregatorPages {
    async fn page(&self, path: &str, query: &str) -> Option<Reply> {
        if let Some((scaler, page)) = scaler_page(path) {
            return Some(match page {
                ScalerPage::View => self.view(scaler).await,
                ScalerPage::Decisions => self.decisions(scaler).await,
            });
        }
        if path != "/debug/scalers" {
            return self.status_page.page(path, query).await;
        }
        Some(self.views().await)
    }
}

impl AggregatorPages {
    /// Sends an event and waits for the reply. `None` if the control loop does not reply in time.
    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Option<T> {
        let (sender, reply) = oneshot::channel();
        let request = async {
            self.events.send(event(sender)).await.ok()?;
            reply.await.ok()
        };
        timeout(LOOP_TIMEOUT, request).await.ok().flatten()
    }

    /// The states of all scalers, one per event-loop iteration: a thousand at once would delay decisions.
    async fn views(&self) -> Reply {
        let Some(scalers) = self.ask(Event::NamesRequested).await else {
            return no_reply();
        };
        let mut views = Vec::with_capacity(scalers.len());
        for scaler in scalers {
            let Some(view) = self
                .ask(|reply| Event::ViewRequested { scaler, reply })
                .await
            else {
                return no_reply();
            };
            // It may have been deleted in between.
            views.extend(view);
        }
        match serde_json::to_vec_pretty(&views) {
            Ok(body) => json(StatusCode::OK, body),
            Err(error) => failed(&error),
        }
    }

    /// The state of one scaler, which is what an element of `/debug/scalers` is.
    async fn view(&self, scaler: ScalerKey) -> Reply {
        let name = scaler.to_string();
        match self
            .ask(|reply| Event::ViewRequested { scaler, reply })
            .await
        {
            None => no_reply(),
            Some(None) => not_found(&name),
            Some(Some(view)) => match serde_json::to_vec_pretty(&view) {
                Ok(body) => json(StatusCode::OK, body),
                Err(error) => failed(&error),
            },
        }
    }

    /// The recorded decisions, in the format that `pushscale replay` reads.
    async fn decisions(&self, scaler: ScalerKey) -> Reply {
        let name = scaler.to_string();
        let Some(found) = self
            .ask(|reply| Event::RecordingsRequested { scaler, reply })
            .await
        else {
            return no_reply();
        };
        let Some(recordings) = found else {
            return not_found(&name);
        };
        let recordings = recordings.recordings(&name);
        let lines: Result<Vec<String>, _> = recordings.iter().map(serde_json::to_string).collect();
        match lines {
            Ok(lines) => {
                let mut body = lines.join("\n");
                body.push('\n');
                reply(StatusCode::OK, "application/jsonl; charset=utf-8", body)
            }
            Err(error) => failed(&error),
        }
    }
}

/// A page of one scaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScalerPage {
    View,
    Decisions,
}

/// Parses `/debug/scalers/{namespace}/{name}`, with or without `/decisions.jsonl`.
fn scaler_page(path: &str) -> Option<(ScalerKey, ScalerPage)> {
    let (path, page) = match path.strip_suffix("/decisions.jsonl") {
        Some(path) => (path, ScalerPage::Decisions),
        None => (path, ScalerPage::View),
    };
    Some((scaler_key(path, "/debug/scalers/")?, page))
}

fn not_found(name: &str) -> Reply {
    text(
        StatusCode::NOT_FOUND,
        format!("PushScaler {name} not found\n"),
    )
}

fn no_reply() -> Reply {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the control loop did not reply in time\n",
    )
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use pushscale_daemon::shutdown::Shutdown;

    use super::*;
    use crate::history::History;
    use crate::leadership::Leadership;
    use crate::metrics::Metrics;
    use crate::names::TargetRef;
    use crate::view::ScalerView;

    /// Answers like a control loop with the scalers `a` and `c`, of which `b` has just been deleted. Returns the number
    /// of events.
    async fn respond(mut events: mpsc::Receiver<Event>) -> usize {
        let mut count = 0;
        while let Some(event) = events.recv().await {
            count += 1;
            match event {
                Event::NamesRequested(reply) => {
                    let names = ["a", "b", "c"].map(|name| ScalerKey::new("models", name));
                    reply.send(names.to_vec()).unwrap();
                }
                Event::ViewRequested { scaler, reply } => {
                    let target = TargetRef::deployment("models", &scaler.name);
                    let view = (scaler.name != "b").then(|| {
                        ScalerView::new(
                            &scaler,
                            &target,
                            pushscale_decision::Moment::ORIGIN,
                            None,
                            None,
                            None,
                            Vec::new(),
                        )
                    });
                    reply.send(view).unwrap();
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        count
    }

    #[tokio::test]
    async fn listed_scalers_are_queried_one_event_at_a_time() {
        let (events, receiver) = mpsc::channel(1);
        let mut registry = prometheus_client::registry::Registry::default();
        let (history, _sender, _task) = History::start(Metrics::register(&mut registry));
        let status_page = StatusPage::new(history, Leadership::unlimited(), Shutdown::new());
        let read = async {
            let pages = AggregatorPages {
                events,
                status_page,
            };
            pages.page("/debug/scalers", "").await.unwrap()
        };
        let (page, turns) = tokio::join!(read, respond(receiver));
        let body = page.into_body().collect().await.unwrap().to_bytes();
        let views: Vec<ScalerView> = serde_json::from_slice(&body).unwrap();
        let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(turns, 4);
    }
}
