//! Looks at the server at a steady pace and publishes each reading.

use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_protocol::State;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::drain::{self, DrainWatch};
use crate::identity::Numbered;
use crate::metrics::Metrics;
use crate::push::Taken;
use crate::reading::Reader;
use crate::scrape::Scraper;
use crate::ticker::Ticker;

/// The slowest pace that an aggregator may ask for.
const SLOWEST: Duration = Duration::from_secs(3600);

/// Ticks are not exact, and a reading must not wait for the next one because of that.
const NEARLY: Duration = Duration::from_millis(50);

pub(crate) struct WatchServer {
    pub(crate) scraper: Scraper,
    pub(crate) interval: Duration,
    pub(crate) ticker: Ticker,
    pub(crate) pace: mpsc::Receiver<f64>,
    pub(crate) publish: watch::Sender<Option<Arc<Taken>>>,
    pub(crate) drains: DrainWatch,
    pub(crate) metrics: Metrics,
}

impl WatchServer {
    /// Runs until `stop`, then publishes one last reading that says *leaving*, and drops the channel.
    pub(crate) async fn run(mut self, first_look: ReadinessLatch, stop: Shutdown) {
        let mut first_look = Some(first_look);
        let mut reader = Reader::default();
        let mut sequence = 0;
        let mut last_state = None;
        let mut every = self.interval;
        let mut draining = false;
        let mut published: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.ticker.tick() => {}
                Some(seconds) = self.pace.recv() => {
                    let asked = self.pace_of(seconds);
                    if asked != every {
                        tracing::info!(seconds = asked.as_secs_f64(), "the aggregator sets the pace");
                        every = asked;
                        self.look_every(every, draining);
                    }
                    continue;
                }
                Ok(()) = self.drains.hands.changed() => {
                    if self.drains.is_asked() != draining {
                        draining = !draining;
                        self.look_every(every, draining);
                    }
                    continue;
                }
                () = stop.cancelled() => break,
            }
            let began = Instant::now();
            let look = tokio::select! {
                look = self.scraper.look() => look,
                () = stop.cancelled() => break,
            };
            let bad_lines = look.metrics.as_ref().map_or(0, |page| page.bad_lines);
            let reading = reader.read(&look);
            self.drains.observe(began, &look, &reading);
            self.metrics.looked(reading.state, bad_lines);
            if last_state.replace(reading.state) != Some(reading.state) {
                tell(reading.state);
            }
            first_look.take();
            // A drain's looks are for itself: a fleet that shrinks must not push ten times as often.
            if draining && published.is_some_and(|at| at.elapsed() + NEARLY < every) {
                continue;
            }
            published = Some(Instant::now());
            sequence += 1;
            self.publish.send_replace(Some(Arc::new(Taken {
                at: Instant::now(),
                numbered: Numbered {
                    sequence,
                    interval_seconds: every.as_secs_f64(),
                    leaving: false,
                    reading,
                },
            })));
        }
        self.say_goodbye();
    }

    /// A pace whose first look is at once.
    fn look_every(&mut self, every: Duration, draining: bool) {
        let pace = if draining {
            every.min(drain::LOOK_EVERY)
        } else {
            every
        };
        match Ticker::new(pace) {
            Ok(ticker) => self.ticker = ticker,
            Err(error) => tracing::warn!(%error, "no new timer, the old pace is kept"),
        }
    }

    /// Never faster than configured: the configured pace is what the model server was found to bear.
    fn pace_of(&self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.interval)
            .clamp(self.interval, SLOWEST)
    }

    fn say_goodbye(&self) {
        let last = self.publish.borrow().clone();
        if let Some(last) = last {
            let mut numbered = last.numbered.clone();
            numbered.sequence += 1;
            numbered.leaving = true;
            self.publish.send_replace(Some(Arc::new(Taken {
                at: last.at,
                numbered,
            })));
        }
    }
}

fn tell(state: State) {
    match state {
        State::Ready | State::NoSamplesYet | State::WarmingUp => {
            tracing::info!(?state, "the server answers");
        }
        State::Empty => tracing::warn!(
            ?state,
            "the metrics page is empty: set metrics_mode=prometheus in config.properties"
        ),
        _ => tracing::warn!(?state, "the server says nothing of its queue"),
    }
}
