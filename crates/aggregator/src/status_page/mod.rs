//! The status page: an overview and a page per scaler, rendered from snapshots of the history. It works without a
//! script; the script only replaces what has changed by what the server renders.

mod chart;
mod conditions;
mod events;
mod fragment;
mod overview;
mod scaler_page;

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use jiff::Timestamp;
use pushscale_daemon::reply::{Reply, json, reply, text};
use pushscale_daemon::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::history::{History, Point, ScalerHistory, Series};
use crate::leadership::Leadership;
use crate::names::ScalerKey;
use fragment::Fragment;
use overview::Overview;

/// Streams of events at once. Each holds one of the admin port's connections.
const MAX_STREAMS: usize = 16;

/// How long a rendered overview is shown again. A thousand rows take a hundredth of a second.
const OVERVIEW_AGE: Duration = Duration::from_secs(1);

/// Nothing is loaded from elsewhere, and neither markup nor styles in a name could do anything.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// The status page. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct StatusPage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    history: History,
    leadership: Leadership,
    shutdown: Shutdown,
    streams: Arc<Semaphore>,
    overview: Mutex<Option<(Instant, Arc<Overview>)>>,
}

/// What a page or a stream shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Overview,
    Scaler(ScalerKey),
}

/// A page around its parts.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: String,
    heading: String,
    /// The path of the overview relative to the page, so that it also works below a proxy's path.
    root: &'static str,
    /// The page itself, for a browser without a script. Without a URL, a browser whose URL has a fragment does not
    /// reload, and with another one it does not keep the place.
    reload: String,
    events: String,
    role: &'static str,
    is_overview: bool,
    fragments: Vec<&'a Fragment>,
    rows: Vec<&'a Fragment>,
    target: String,
}

impl StatusPage {
    pub(crate) fn new(history: History, leadership: Leadership, shutdown: Shutdown) -> Self {
        Self(Arc::new(Shared {
            history,
            leadership,
            shutdown,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            overview: Mutex::default(),
        }))
    }

    /// Returns the page at `path`; `None` if it is not one of the status page.
    pub(crate) async fn page(&self, path: &str, query: &str) -> Option<Reply> {
        let reply = match path {
            "/status.css" => asset("text/css; charset=utf-8", include_str!("page.css")),
            "/status.js" => asset("text/javascript; charset=utf-8", include_str!("page.js")),
            "/status.svg" => asset("image/svg+xml", include_str!("page.svg")),
            "/" => self.render(&Subject::Overview, None).await?,
            "/events" => self.events(Subject::Overview).await?,
            _ => {
                if let Some(key) = scaler_key(path, "/scalers/") {
                    self.render(&Subject::Scaler(key), open_decision(query))
                        .await?
                } else if let Some(key) = scaler_key(path, "/events/") {
                    self.events(Subject::Scaler(key)).await?
                } else if let Some(path) = path.strip_suffix("/load.csv") {
                    let key = scaler_key(path, "/debug/scalers/")?;
                    let load = Arc::clone(&self.0.history.get(&key)?.load);
                    reply(StatusCode::OK, "text/csv; charset=utf-8", load.csv())
                } else {
                    let path = path.strip_suffix("/history.json")?;
                    let key = scaler_key(path, "/debug/scalers/")?;
                    history_json(&*self.0.history.get(&key)?)
                }
            }
        };
        Some(with_headers(reply))
    }

    /// Renders the page of the subject, with this decision opened to its steps.
    async fn render(&self, subject: &Subject, open: Option<u64>) -> Option<Reply> {
        let page = match subject {
            Subject::Overview => {
                let overview = self.overview().await;
                overview.and_then(|overview| self.overview_page(&overview).render())
            }
            Subject::Scaler(key) => {
                let history = self.0.history.get(key)?;
                let fragments = scaler_page::fragments(key, &history, Timestamp::now(), open);
                fragments.and_then(|them| self.scaler_page(key, &history, open, &them).render())
            }
        };
        Some(match page {
            Ok(page) => reply(StatusCode::OK, HTML, page),
            Err(error) => failed(&error),
        })
    }

    /// Returns the overview, rendered within the last second. Concurrent requests wait for one rendering.
    async fn overview(&self) -> Result<Arc<Overview>, askama::Error> {
        let mut cached = self.0.overview.lock().await;
        if let Some((at, overview)) = &*cached
            && at.elapsed() < OVERVIEW_AGE
        {
            return Ok(Arc::clone(overview));
        }
        // A thousand rows must not occupy the thread of other tasks.
        let version = *self.0.history.changes().borrow();
        let histories = self.0.history.all();
        let render = move || Overview::render(&histories, version, Timestamp::now());
        let rendered = tokio::task::spawn_blocking(render).await;
        let overview = Arc::new(rendered.map_err(askama::Error::custom)??);
        *cached = Some((Instant::now(), Arc::clone(&overview)));
        Ok(overview)
    }

    fn overview_page<'a>(&self, overview: &'a Overview) -> Page<'a> {
        Page {
            title: "Pushscale".to_owned(),
            heading: "PushScalers".to_owned(),
            root: "./",
            reload: "./".to_owned(),
            events: "events".to_owned(),
            role: self.role(),
            is_overview: true,
            fragments: vec![&overview.summary],
            rows: overview.rows.iter().collect(),
            target: String::new(),
        }
    }

    fn scaler_page<'a>(
        &self,
        key: &ScalerKey,
        history: &ScalerHistory,
        open: Option<u64>,
        fragments: &'a [Fragment],
    ) -> Page<'a> {
        Page {
            title: format!("{key} – Pushscale"),
            heading: key.to_string(),
            root: "../../",
            reload: match open {
                Some(number) => format!("{}?decision={number}", key.name),
                None => key.name.clone(),
            },
            events: format!("../../events/{key}"),
            role: self.role(),
            is_overview: false,
            fragments: fragments.iter().collect(),
            rows: Vec::new(),
            target: history.target.clone(),
        }
    }

    fn role(&self) -> &'static str {
        if self.0.leadership.term().is_some() {
            "This aggregator leads: it writes the replicas."
        } else {
            "This aggregator follows: it decides and writes nothing."
        }
    }

    /// Renders what the subject's page shows now; `None` if the scaler does not exist.
    async fn fragments(&self, subject: &Subject) -> Option<Result<Current, askama::Error>> {
        match subject {
            Subject::Overview => Some(self.overview().await.map(Current::Overview)),
            Subject::Scaler(key) => {
                let history = self.0.history.get(key)?;
                // The script keeps open what its reader has opened.
                let fragments = scaler_page::fragments(key, &history, Timestamp::now(), None);
                Some(fragments.map(Current::Scaler))
            }
        }
    }
}

/// The parts of a page as they are now.
enum Current {
    Overview(Arc<Overview>),
    Scaler(Vec<Fragment>),
}

impl Current {
    fn all(&self) -> impl Iterator<Item = &Fragment> {
        let (single, rows) = match self {
            Self::Overview(overview) => (Some(&overview.summary), overview.rows.as_slice()),
            Self::Scaler(fragments) => (None, fragments.as_slice()),
        };
        single.into_iter().chain(rows)
    }
}

/// Parses `{prefix}{namespace}/{name}`.
pub(crate) fn scaler_key(path: &str, prefix: &str) -> Option<ScalerKey> {
    let (namespace, name) = path.strip_prefix(prefix)?.split_once('/')?;
    (!name.is_empty() && !name.contains('/')).then(|| ScalerKey::new(namespace, name))
}

/// Logs why a page could not be rendered, and returns the reply.
pub(crate) fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "failed to render a page");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "failed to render the page: see the log\n",
    )
}

/// Returns the number of the decision that a page without a script shows open, from `decision=NUMBER`.
fn open_decision(query: &str) -> Option<u64> {
    let mut parameters = query.split('&');
    parameters.find_map(|parameter| parameter.strip_prefix("decision=")?.parse().ok())
}

/// The points and the decisions, for tools.
fn history_json(history: &ScalerHistory) -> Reply {
    let points: Vec<_> = history.points().map(point_json).collect();
    let decisions = history.decisions().map(|decision| {
        json!({
            "at": decision.at.to_string(),
            "outcome": decision.outcome,
            "steps": decision.steps.lines().collect::<Vec<_>>(),
        })
    });
    let decisions: Vec<_> = decisions.collect();
    let body = json!({ "points": points, "decisions": decisions });
    json(StatusCode::OK, body.to_string())
}

fn point_json(point: &Point) -> Value {
    let mut object = serde_json::Map::new();
    let at = Timestamp::from_second(point.second()).unwrap_or_default();
    object.insert("at".to_owned(), at.to_string().into());
    for series in Series::ALL {
        // What is unknown is absent.
        if let Some(figure) = point.get(series) {
            object.insert(series.name().to_owned(), figure.into());
        }
    }
    object.into()
}

fn asset(content_type: &'static str, text: &'static str) -> Reply {
    reply(StatusCode::OK, content_type, text)
}

fn with_headers(mut reply: Reply) -> Reply {
    let headers: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // After an update of the aggregator, a browser must not run the script of the previous version.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    reply
}

#[cfg(test)]
mod tests;
