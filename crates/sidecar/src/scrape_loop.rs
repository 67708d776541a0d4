//! Scrapes the server at a fixed interval and publishes each reading.

use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_protocol::{MAX_REQUESTED_INTERVAL, State};
use pushscale_reading::Reader;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::{self, DrainWatch};
use crate::identity::SequencedReading;
use crate::metrics::Metrics;
use crate::push::LongestInterval;
use crate::scraper::Scraper;
use crate::ticker::Ticker;

/// A tick may be this early: a reading that is due must not wait for the next tick.
const TICK_TOLERANCE: Duration = Duration::from_millis(50);

pub(crate) struct ScrapeLoop {
    pub(crate) scraper: Scraper,
    pub(crate) interval: Duration,
    pub(crate) ticker: Ticker,
    pub(crate) longest_requested: LongestInterval,
    pub(crate) publish: watch::Sender<Option<Arc<SequencedReading>>>,
    pub(crate) drains: DrainWatch,
    pub(crate) metrics: Metrics,
}

impl ScrapeLoop {
    /// Runs until `shutdown`, then publishes a last reading marked as *terminating* and drops the channel.
    pub(crate) async fn run(mut self, first_scrape: ReadinessLatch, shutdown: Shutdown) {
        let mut first_scrape = Some(first_scrape);
        let mut reader = Reader::default();
        let mut sequence = 0;
        let mut last_state = None;
        let mut interval = self.interval;
        let mut requested = None;
        let mut draining = false;
        let mut published: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.ticker.tick() => {}
                changed = self.longest_requested.changed() => {
                    requested = changed;
                    let before = std::mem::replace(&mut interval, self.next_interval(requested));
                    if interval != before {
                        let every = tick_interval(interval, draining);
                        // Neither at once, which would be too soon after the last push, nor later than before, when
                        // the last reading is not fresh any more.
                        self.set_ticker(Ticker::after(every.min(before), every));
                    }
                    continue;
                }
                Ok(()) = self.drains.requests.changed() => {
                    if self.drains.is_requested() != draining {
                        draining = !draining;
                        self.set_ticker(Ticker::new(tick_interval(interval, draining)));
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
            // The scrape shows how often the server can be scraped.
            let before = std::mem::replace(&mut interval, self.next_interval(requested));
            if interval != before {
                let every = tick_interval(interval, draining);
                self.set_ticker(Ticker::after(every, every));
            }
            // The additional scrapes of a drain are not pushed: a scale-down must not multiply the push rate.
            if draining && published.is_some_and(|at| at.elapsed() + TICK_TOLERANCE < interval) {
                continue;
            }
            published = Some(Instant::now());
            sequence += 1;
            self.publish.send_replace(Some(Arc::new(SequencedReading {
                sequence,
                scraped_at: Instant::now(),
                // Until the next reading, or since the last one.
                interval_seconds: interval.max(before).as_secs_f64(),
                terminating: false,
                reading,
            })));
        }
        self.publish_last();
    }

    fn set_ticker(&mut self, ticker: std::io::Result<Ticker>) {
        match ticker {
            Ok(ticker) => self.ticker = ticker,
            Err(error) => tracing::warn!(%error, "failed to create a timer, keeping the interval"),
        }
    }

    /// Never shorter than configured: the configured interval is the load that the model server was sized for.
    fn next_interval(&self, requested: Option<Duration>) -> Duration {
        requested
            .map_or(self.interval, |it| it.min(MAX_REQUESTED_INTERVAL))
            .max(self.interval)
            .max(self.scraper.min_interval())
    }

    fn publish_last(&self) {
        let last = self.publish.borrow().clone();
        if let Some(last) = last {
            self.publish.send_replace(Some(Arc::new(SequencedReading {
                sequence: last.sequence + 1,
                terminating: true,
                ..SequencedReading::clone(&last)
            })));
        }
    }
}

/// Returns how often to scrape: more often while draining.
fn tick_interval(interval: Duration, draining: bool) -> Duration {
    match draining {
        true => interval.min(drain::DRAIN_SCRAPE_INTERVAL),
        false => interval,
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
