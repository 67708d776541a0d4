//! Writes whose outcome or whose decision is out of date.

use pushscale_api::recording::Fact;

use super::*;

/// Long enough for a write to end, and too short for another decision.
const STEP: Duration = Duration::from_millis(100);

fn names(pods: u32) -> Vec<String> {
    (0..pods).map(|pod| format!("pod-{pod}")).collect()
}

impl Fixture {
    /// Reports this many running pods with many waiting requests until a write begins. Returns its replicas.
    async fn overload(&mut self, pods: u32) -> u32 {
        let names = names(pods);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        self.observe_pods("a", &names);
        for step in 0..600 {
            if step % 10 == 0 {
                for pod in &names {
                    assert!(self.push(pod, 50).is_accepted());
                }
            }
            if let Some(change) = self.scaler("a").in_flight() {
                return u32::try_from(change.to).unwrap();
            }
            self.advance(STEP).await;
        }
        panic!("nothing is written");
    }

    /// Returns the changes that the engine has recorded as our own.
    fn recorded_writes(&mut self) -> Vec<(u32, u32)> {
        let now = self.control_loop.scalers.clock.now();
        let scaler = self.control_loop.scalers.get_mut(&key("a")).unwrap();
        let segments = scaler.decisions.recordings(now);
        let recordings = segments.recordings("a");
        let steps = recordings.iter().flat_map(|recording| &recording.steps);
        let facts = steps.flat_map(|step| &step.facts);
        facts
            .filter_map(|fact| match fact.fact {
                Fact::Wrote { from, to } => Some((from, to)),
                _ => None,
            })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_settled_by_a_read_before_its_response_was_lost() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 1);
    let mut replicas = 1;
    let mut expected = 0;
    // The first write succeeds. Three changes by another client soon after one of ours would stop all writes.
    for _ in 0..5 {
        let to = fixture.overload(replicas).await;
        // The watch is faster than the response. No other change of the target follows.
        fixture.read("a", to);
        fixture.advance(STEP).await;
        assert!(!fixture.scaler("a").object.is_writing());
        expected += 1;
        let status = fixture.last_status("a");
        assert!(!status.to_string().contains("SizeContested"), "{status}");
        let history = status["history"].as_array().unwrap();
        assert_eq!(history.len(), expected, "{status}");
        assert_eq!(history[0]["to"], to, "{status}");
        replicas = to;
        *fixture.target.behavior.lock() = Behavior::StoresAndFails;
    }
}

/// Pushes a reading with `waiting` requests in each of the next `steps` steps.
async fn push_for(fixture: &mut Fixture, steps: u32, waiting: u32) {
    for _ in 0..steps {
        assert!(fixture.push("pod-0", waiting).is_accepted());
        fixture.advance(STEP).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_is_repeated_with_backoff_however_often_the_pods_push() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::Rejects;
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    let mut reported = 0;
    for _ in 0..600 {
        push_for(&mut fixture, 1, 50).await;
        let status = fixture.last_status("a");
        if !status.is_null() && !fixture.target.writes.lock().is_empty() {
            let able = &status["conditions"][0];
            assert_eq!(able["type"], "AbleToScale");
            assert_eq!(able["reason"], "FailedUpdateScale", "{status}");
            reported += 1;
        }
    }
    assert!(reported > 0);
    // Each delay may be twice as long, at random.
    let writes = fixture.target.writes.lock().len();
    assert!((4..=8).contains(&writes), "{writes}");
    *fixture.target.behavior.lock() = Behavior::Stores;
    push_for(&mut fixture, 310, 50).await;
    assert!(fixture.target.writes.lock().len() > writes);
}

/// A policy may reject scale-downs only, as in a change freeze.
#[tokio::test(start_paused = true)]
async fn a_rejected_scale_down_does_not_delay_a_scale_up() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::Rejects;
    fixture.apply("a", 1, &json!({ "maxReplicas": 8 }));
    fixture.observe("a", 9, &["pod-0"]);
    push_for(&mut fixture, 600, 0).await;
    let rejected = fixture.target.writes.lock().len();
    assert!(rejected > 1, "{rejected}");
    *fixture.target.behavior.lock() = Behavior::Stores;
    *fixture.target.replicas.lock() = 1;
    fixture.read("a", 1);
    push_for(&mut fixture, 10, 50).await;
    assert!(fixture.target.writes.lock().len() > rejected);
}

#[tokio::test(start_paused = true)]
async fn a_leader_does_not_take_an_earlier_change_of_another_client_for_its_own() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    follow(&mut fixture).await;
    fixture.read_by("a", 9, false);
    fixture.written_by_us = false;
    *fixture.target.replicas.lock() = 9;
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    fixture.advance(Duration::from_secs(1)).await;
    let to = fixture.overload(9).await;
    fixture.advance(STEP).await;
    // The target's owner is this aggregator now.
    fixture.read("a", to);
    fixture.advance(3 * STEP).await;
    assert_eq!(fixture.recorded_writes(), [(1, 2), (2, 4), (4, 8), (9, to)]);
}

#[tokio::test(start_paused = true)]
async fn the_last_status_has_the_write_that_is_in_flight_at_the_exit() {
    let mut fixture = Fixture::start();
    fixture.stores(None);
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 1);
    let to = fixture.overload(1).await;
    assert!(fixture.target.writes.lock().is_empty());
    fixture.report_at_exit().await;
    assert_eq!(*fixture.target.writes.lock(), [(1, to)]);
    let status = fixture.last_status("a");
    assert_eq!(status["history"][0]["to"], to, "{status}");
    assert_eq!(status["history"][0]["time"], status["lastScaleTime"]);
}

#[tokio::test(start_paused = true)]
async fn a_decision_of_an_earlier_term_is_not_written() {
    let leadership = Leadership::following();
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    let mut fixture = Fixture::with(leadership.clone());
    fixture.handle(Event::ScalersListed(BTreeSet::from([key("a")])));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.apply("a", 1, &json!({}));
    *fixture.target.replicas.lock() = 1;
    fixture.read("a", 1);
    fixture.advance(Duration::from_secs(1)).await;
    fixture.overload(1).await;
    // The task of the write has not run yet. Meanwhile another aggregator leads, and scales.
    leadership.follow();
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    *fixture.target.replicas.lock() = 3;
    fixture.advance(STEP).await;
    assert!(fixture.target.writes.lock().is_empty());
    fixture.overload(3).await;
    fixture.advance(STEP).await;
    let writes = fixture.target.writes.lock().clone();
    assert_eq!(writes[0].0, 3, "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_one_scaler_rejects_reaches_the_others() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    assert!(fixture.push("pod-0", 0).is_accepted());
    fixture.apply("b", 1, &json!({ "mode": "Recommend" }));
    fixture.observe("b", 1, &["pod-0"]);
    fixture.advance(Duration::from_secs(1)).await;
    // To the first scaler this is a duplicate.
    fixture.sequence = 0;
    assert!(fixture.push("pod-0", 0).is_accepted());
    fixture.advance(Duration::from_secs(1)).await;
    let decision = fixture.scaler("b").last_decision();
    assert_eq!(decision.freshness.fresh, 1);
    // A reading that all of them reject is rejected.
    fixture.sequence = 0;
    let verdict = fixture.push("pod-0", 0);
    assert!(matches!(verdict, Verdict::Rejected(_)), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_names_the_generation_that_its_decision_followed() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 1);
    let to = fixture.overload(1).await;
    // The spec changes during the write.
    fixture.apply("a", 2, &json!({ "maxReplicas": 1 }));
    loop {
        let event = fixture.events.recv().await.unwrap();
        let is_end = matches!(event, Event::WriteFinished { .. });
        fixture.control_loop.handle(event);
        if is_end {
            break;
        }
    }
    let status = fixture.last_status("a");
    assert_eq!(status["desiredReplicas"], to, "{status}");
    assert_eq!(status["observedGeneration"], 1, "{status}");
    fixture.advance(Duration::from_secs(2)).await;
    let status = fixture.last_status("a");
    assert_eq!(status["desiredReplicas"], 1, "{status}");
    assert_eq!(status["observedGeneration"], 2, "{status}");
}

/// Begins a write that the API server does not answer. Returns its replicas.
async fn hanging_write(fixture: &mut Fixture) -> u32 {
    *fixture.target.behavior.lock() = Behavior::Hangs;
    fixture.apply("a", 1, &json!({}));
    fixture.read("a", 1);
    let to = fixture.overload(1).await;
    fixture.advance(STEP).await;
    assert_eq!(*fixture.target.writes.lock(), [(1, to)]);
    assert_eq!(*fixture.target.abandoned.lock(), 0);
    to
}

#[tokio::test(start_paused = true)]
async fn a_write_is_cancelled_when_its_pushscaler_stops_scaling() {
    for mode in ["Off", "Recommend"] {
        let mut fixture = Fixture::start();
        let to = hanging_write(&mut fixture).await;
        fixture.apply("a", 2, &json!({ "mode": mode }));
        fixture.advance(STEP).await;
        assert_eq!(*fixture.target.abandoned.lock(), 1, "{mode}");
        assert!(!fixture.scaler("a").object.is_writing());
        let status = fixture.last_status("a").to_string();
        assert!(!status.contains("FailedUpdateScale"), "{status}");
        // The API server has stored it nevertheless.
        fixture.read("a", to);
        fixture.advance(Duration::from_secs(20)).await;
        let status = fixture.last_status("a");
        assert_eq!(status["history"][0]["to"], to, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_cancelled_when_its_pushscaler_is_deleted() {
    let mut fixture = Fixture::start();
    hanging_write(&mut fixture).await;
    fixture.handle(Event::ScalerDeleted(key("a")));
    fixture.advance(STEP).await;
    assert_eq!(*fixture.target.abandoned.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_continues_while_its_pushscaler_scales_or_restores_the_replicas() {
    let mut fixture = Fixture::start();
    hanging_write(&mut fixture).await;
    fixture.apply("a", 2, &json!({ "maxReplicas": 39 }));
    fixture.advance(STEP).await;
    fixture.deletion = ScalerDeletion {
        restores: true,
        applies: true,
        deleting: true,
        ..ScalerDeletion::default()
    };
    fixture.apply("a", 3, &json!({ "onDelete": "Restore" }));
    fixture.advance(STEP).await;
    assert_eq!(*fixture.target.abandoned.lock(), 0);
}
