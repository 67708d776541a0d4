//! `status.history`: which changes it has, with which figures, and that it survives a change of the leader.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pushscale_api::{MAX_HISTORY, PushScalerStatus};

use super::*;
use crate::status::{StatusHistory, restore};

pub(super) fn change(from: i32, to: i32) -> ScaleChange {
    ScaleChange {
        time: Time(Timestamp::UNIX_EPOCH),
        from,
        to,
        reason: "queue latency above target".to_owned(),
        model: None,
        queue_latency: None,
        target: None,
        arrival_rate: None,
    }
}

/// Returns the changes in the status as `from → to`, newest first.
pub(super) fn changes(status: &Value) -> Vec<String> {
    let history = status["history"].as_array().cloned().unwrap_or_default();
    let text = |change: &Value| format!("{} → {}", change["from"], change["to"]);
    history.iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_has_the_figures_that_decided() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.push("pod-0", 2);
    fixture.advance(Duration::from_secs(1)).await;
    let status = fixture.last_status("a");
    let mut change = status["history"][0].clone();
    assert_eq!(change["time"], status["lastScaleTime"]);
    change.as_object_mut().unwrap().remove("time");
    let expected = json!({
        "from": 1, "to": 2, "reason": "queue latency above target", "queueLatency": "2s", "target": "1s",
    });
    assert_eq!(change, expected);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_response_keeps_its_decisions_figures() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::StoresAndFails;
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.push("pod-0", 2);
    // The write fails before its first repetition.
    fixture.advance(Duration::from_millis(600)).await;
    assert_eq!(*fixture.target.writes.lock(), [(1, 2)]);
    assert_eq!(changes(&fixture.last_status("a")), Vec::<String>::new());
    // The read shows that the write was stored. By then, the queue is longer.
    fixture.push("pod-0", 3);
    fixture.read("a", 2);
    fixture.advance(Duration::from_secs(2)).await;
    let status = fixture.last_status("a");
    let oldest = status["history"].as_array().unwrap().last().unwrap();
    assert_eq!(oldest["to"], 2, "{status}");
    assert_eq!(oldest["queueLatency"], "2s", "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_continues_the_history_of_its_predecessor() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    // The previous leader's status arrives while this aggregator follows.
    fixture.changes = vec![change(4, 8), change(2, 4)];
    fixture.apply("a", 1, &json!({}));
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    // The rate limits count the predecessor's changes.
    for _ in 0..60 {
        fixture.advance(Duration::from_secs(1)).await;
        for pod in 0..8 {
            fixture.push(&format!("pod-{pod}"), 50);
        }
        if !fixture.target.writes.lock().is_empty() {
            break;
        }
    }
    fixture.advance(Duration::from_secs(1)).await;
    let changes = changes(&fixture.last_status("a"));
    assert!(changes[0].starts_with("16 → "), "{changes:?}");
    assert!(changes.ends_with(&["4 → 8".to_owned(), "2 → 4".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_previous_leader_did_not_store_is_recorded_once() {
    let last = change(8, 16);
    for stored in [vec![change(4, 8)], vec![last, change(4, 8)]] {
        for scale_first in [true, false] {
            let leadership = Leadership::following();
            let mut fixture = Fixture::with(leadership.clone());
            follow(&mut fixture).await;
            fixture.changes.clone_from(&stored);
            leadership.lead_until(Instant::now() + Duration::from_secs(3600));
            fixture.handle(Event::Promoted);
            if scale_first {
                fixture.read("a", 16);
            }
            fixture.read_statuses();
            fixture.read("a", 16);
            fixture.advance(Duration::from_secs(2)).await;
            let status = fixture.last_status("a");
            let changes = changes(&status);
            assert!(changes.ends_with(&["8 → 16".to_owned(), "4 → 8".to_owned()]));
            let missing = stored.len() == 1;
            let reason = "written by the previous leader";
            assert_eq!(status.to_string().contains(reason), missing, "{status}");
        }
    }
}

#[test]
fn the_history_is_bounded_also_after_a_restart() {
    let mut history = StatusHistory::default();
    for replicas in 0..25 {
        history.record_change(Timestamp::now(), change(replicas, replicas + 1));
    }
    assert_eq!(history.changes.len(), MAX_HISTORY);
    assert_eq!(history.changes[0].to, 25);
    let too_long = PushScalerStatus {
        history: vec![change(1, 2); 1000],
        ..PushScalerStatus::default()
    };
    assert_eq!(restore(Some(&too_long)).changes.len(), MAX_HISTORY);
}
