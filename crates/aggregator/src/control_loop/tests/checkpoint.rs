//! Checkpoints: read at the start and by a new leader, and written by the leader alone, never before it has read.

use jiff::Timestamp;
use pushscale_decision::{Checkpoint, ModelCheckpoint, RateSeries};
use tokio::time::timeout;

use super::*;
use crate::checkpoint;
use crate::control_loop::effect::unix_time;
use crate::report::{CheckpointReport, StoredCheckpoint};

const INTERVAL: Duration = Duration::from_secs(600);

/// The stored checkpoint of scaler `a`, with one model.
fn stored() -> PushScalerCheckpoint {
    let now = unix_time(Timestamp::now()).as_secs();
    checkpoint::object(&CheckpointReport {
        scaler: key("a"),
        uid: "a-uid".to_owned(),
        target: target("torchserve"),
        at: Timestamp::now(),
        checkpoint: Box::new(Checkpoint {
            start_delay: None,
            models: vec![ModelCheckpoint {
                name: "resnet".into(),
                service_seconds: Some(0.1),
                savings: Vec::new(),
                rates: vec![RateSeries {
                    bucket_seconds: 600,
                    first_bucket: now / 600 - 144,
                    rates: vec![Some(3.0); 6],
                }],
            }],
        }),
        is_last: false,
        stored: StoredCheckpoint::default(),
    })
}

impl Fixture {
    pub(super) fn stores(&self, checkpoint: Option<PushScalerCheckpoint>) {
        *self.target.checkpoint.lock() = Some(checkpoint);
    }

    /// Makes reads fail.
    fn stop_responding(&self) {
        *self.target.checkpoint.lock() = None;
    }

    fn reads(&self) -> u32 {
        *self.target.checkpoint_reads.lock()
    }

    /// Ends the control loop as a shutdown does.
    pub(super) async fn report_at_exit(&mut self) {
        let last = self.control_loop.report_at_exit(&mut self.events);
        timeout(Duration::from_secs(2), last).await.unwrap();
    }

    /// Returns the models of each checkpoint that was reported since the last call.
    fn checkpoints(&mut self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        while let Ok(report) = self.reports.try_recv() {
            if let Report::Checkpoint(report) = report {
                let models = report.checkpoint.models.iter();
                found.push(models.map(|model| model.name.to_string()).collect());
            }
        }
        found
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_restored_is_written_every_ten_minutes_and_at_the_exit() {
    let mut fixture = Fixture::start();
    fixture.stores(Some(stored()));
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.advance(INTERVAL + Duration::from_secs(20)).await;
    assert_eq!(fixture.reads(), 1);
    assert_eq!(fixture.checkpoints(), [["resnet"]]);
    fixture.advance(INTERVAL).await;
    assert_eq!(fixture.checkpoints(), [["resnet"]]);
    fixture.report_at_exit().await;
    assert_eq!(fixture.checkpoints(), [["resnet"]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_checkpoint_was_read() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.advance(2 * INTERVAL).await;
    fixture.report_at_exit().await;
    assert!(fixture.checkpoints().is_empty());
    assert!((5..15).contains(&fixture.reads()), "{}", fixture.reads());
    fixture.stores(Some(stored()));
    fixture.advance(2 * INTERVAL).await;
    assert_eq!(fixture.checkpoints().last().unwrap(), &["resnet"]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_writes_nothing_and_a_new_leader_reads_once_more() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone()).listed();
    fixture.stores(None);
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.advance(2 * INTERVAL).await;
    assert_eq!(fixture.reads(), 1);
    // The leader has written meanwhile.
    fixture.stores(Some(stored()));
    fixture.report_at_exit().await;
    assert!(fixture.checkpoints().is_empty());
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.advance(INTERVAL + Duration::from_secs(20)).await;
    assert_eq!(fixture.reads(), 2);
    assert_eq!(fixture.checkpoints(), [["resnet"]]);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_that_stops_reads_before_its_last_write() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone()).listed();
    fixture.stores(None);
    for name in ["a", "b"] {
        fixture.apply(name, 1, &json!({}));
        fixture.observe(name, 1, &["pod-0"]);
    }
    fixture.advance(INTERVAL).await;
    assert_eq!(fixture.reads(), 2);
    fixture.stores(Some(stored()));
    // The loop has no turn between its election and the shutdown.
    leadership.lead_until(Instant::now() + Duration::from_secs(7));
    fixture.report_at_exit().await;
    assert_eq!(fixture.reads(), 4);
    // What is stored is scaler `a`'s. Scaler `b` has learned nothing.
    assert_eq!(fixture.checkpoints(), [["resnet"]]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_read_fails_writes_nothing_at_the_exit() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone()).listed();
    fixture.stores(Some(stored()));
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.advance(INTERVAL).await;
    fixture.stop_responding();
    leadership.lead_until(Instant::now() + Duration::from_secs(7));
    fixture.report_at_exit().await;
    assert_eq!(fixture.reads(), 2);
    assert!(fixture.checkpoints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_checkpoint_is_read_once_and_does_not_delay_a_decision() {
    let mut fixture = Fixture::start();
    let mut corrupt = stored();
    corrupt.spec.models[0].arrivals[0].rates = "!".to_owned();
    fixture.stores(Some(corrupt));
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.push("pod-0", 2);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(1, 2)]);
    assert_eq!(fixture.reads(), 1);
    fixture.advance(INTERVAL).await;
    assert_eq!(fixture.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_pushscaler_of_the_same_name_starts_from_nothing() {
    let mut fixture = Fixture::start();
    let mut other = stored();
    other.metadata.owner_references.as_mut().unwrap()[0].uid = "earlier".to_owned();
    fixture.stores(Some(other));
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.advance(2 * INTERVAL).await;
    assert!(fixture.checkpoints().is_empty());
}
