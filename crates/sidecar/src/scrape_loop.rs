//! Scrapes the server at a fixed interval and publishes each reading.

use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_protocol::State;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::drain::{self, DrainWatch};
use crate::identity::SequencedReading;
use crate::metrics::Metrics;
use crate::reading::Reader;
use crate::scraper::Scraper;
use crate::ticker::Ticker;

/// The longest interval that an aggregator may ask for.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// A tick may be this early: a reading that is due must not wait for the next tick.
const TICK_TOLERANCE: Duration = Duration::from_millis(50);

pub(crate) struct ScrapeLoop {
    pub(crate) scraper: Scraper,
    pub(crate) interval: Duration,
    pub(crate) ticker: Ticker,
    pub(crate) intervals: mpsc::Receiver<f64>,
    pub(crate) publish: watch::Sender<Option<Arc<SequencedReading>>>,
    pub(crate) drains: DrainWatch,
    pub(crate) metrics: Metrics,
}

impl ScrapeLoop {
    /// Runs until `shutdown`, then publishes a last reading marked as *leaving* and drops the channel.
    pub(crate) async fn run(mut self, first_scrape: ReadinessLatch, shutdown: Shutdown) {
        let mut first_scrape = Some(first_scrape);
        let mut reader = Reader::default();
        let mut sequence = 0;
        let mut last_state = None;
        let mut interval = self.interval;
        let mut draining = false;
        let mut published: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.ticker.tick() => {}
                Some(seconds) = self.intervals.recv() => {
                    let requested = self.clamp_interval(seconds);
                    if requested != interval {
                        tracing::info!(seconds = requested.as_secs_f64(), "scrape interval set by the aggregator");
                        interval = requested;
                        self.set_interval(interval, draining);
                    }
                    continue;
                }
                Ok(()) = self.drains.requests.changed() => {
                    if self.drains.is_requested() != draining {
                        draining = !draining;
                        self.set_interval(interval, draining);
                    }
                    continue;
                }
                () = shutdown.cancelled() => break,
            }
            let started = Instant::now();
            let scrape = tokio::select! {
                scrape = self.scraper.scrape() => scrape,
                () = shutdown.cancelled() => break,
            };
            let bad_lines = scrape.metrics.as_ref().map_or(0, |page| page.bad_lines);
            let reading = reader.read(&scrape);
            self.drains.observe(started, &scrape, &reading);
            self.metrics.scraped(reading.state, bad_lines);
            if last_state.replace(reading.state) != Some(reading.state) {
                log_state(reading.state);
            }
            first_scrape.take();
            // The additional scrapes of a drain are not pushed: a scale-down must not multiply the push rate.
            if draining && published.is_some_and(|at| at.elapsed() + TICK_TOLERANCE < interval) {
                continue;
            }
            published = Some(Instant::now());
            sequence += 1;
            self.publish.send_replace(Some(Arc::new(SequencedReading {
                sequence,
                scraped_at: Instant::now(),
                interval_seconds: interval.as_secs_f64(),
                leaving: false,
                reading,
            })));
        }
        self.publish_last();
    }

    /// Restarts the ticker; the next tick is immediate.
    fn set_interval(&mut self, interval: Duration, draining: bool) {
        let interval = if draining {
            interval.min(drain::DRAIN_SCRAPE_INTERVAL)
        } else {
            interval
        };
        match Ticker::new(interval) {
            Ok(ticker) => self.ticker = ticker,
            Err(error) => tracing::warn!(%error, "failed to create a timer, keeping the interval"),
        }
    }

    /// Never shorter than configured: the configured interval is the load that the model server was sized for.
    fn clamp_interval(&self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.interval)
            .clamp(self.interval, MAX_INTERVAL)
    }

    fn publish_last(&self) {
        let last = self.publish.borrow().clone();
        if let Some(last) = last {
            self.publish.send_replace(Some(Arc::new(SequencedReading {
                sequence: last.sequence + 1,
                leaving: true,
                ..SequencedReading::clone(&last)
            })));
        }
    }
}

fn log_state(state: State) {
    match state {
        State::Ready | State::NoSamplesYet | State::WarmingUp => {
            tracing::info!(?state, "the server responds");
        }
        State::Empty => tracing::warn!(
            ?state,
            "the metrics page is empty: set metrics_mode=prometheus in config.properties"
        ),
        _ => tracing::warn!(?state, "no queue metrics from the server"),
    }
}
