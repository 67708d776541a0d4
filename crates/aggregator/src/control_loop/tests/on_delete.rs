//! `onDelete: Restore`: the first replica count is stored before it is changed, and written back by the leader alone.

use pushscale_api::names::RESTORE_FINALIZER;

use super::*;

fn restoring() -> ScalerDeletion {
    ScalerDeletion {
        restores: true,
        applies: true,
        ..ScalerDeletion::default()
    }
}

/// A PushScaler that is being deleted, whose target had one replica before.
fn deleting() -> ScalerDeletion {
    ScalerDeletion {
        deleting: true,
        finalizers: vec!["theirs".to_owned(), RESTORE_FINALIZER.to_owned()],
        replicas_before: Some(1),
        ..restoring()
    }
}

async fn delete(fixture: &mut Fixture, deletion: ScalerDeletion) {
    *fixture.target.replicas.lock() = 3;
    fixture.deletion = deletion;
    fixture.apply("a", 2, &json!({}));
    fixture.advance(Duration::from_millis(500)).await;
    assert_eq!(*fixture.target.finalizers.lock(), [["theirs"]]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_scaled_before_the_first_replica_count_is_stored() {
    let mut fixture = Fixture::start();
    fixture.deletion = restoring();
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 1, &["pod-0"]);
    fixture.push("pod-0", 2);
    fixture.advance(Duration::from_millis(900)).await;
    assert!(fixture.target.writes.lock().is_empty());
    assert_eq!(*fixture.target.finalizers.lock(), [[RESTORE_FINALIZER]]);
    assert_eq!(fixture.last_status("a")["replicasBefore"], 1);

    fixture.deletion.replicas_before = Some(1);
    fixture.deletion.finalizers = vec![RESTORE_FINALIZER.to_owned()];
    fixture.apply("a", 1, &json!({}));
    fixture.push("pod-0", 2);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(1, 2)]);
    assert_eq!(fixture.target.finalizers.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn mode_recommend_forgets_the_first_replica_count() {
    let mut fixture = Fixture::start();
    fixture.deletion = ScalerDeletion {
        replicas_before: Some(1),
        ..restoring()
    };
    fixture.apply("a", 1, &json!({}));
    fixture.observe("a", 4, &["pod-0"]);
    fixture.deletion.applies = false;
    fixture.apply("a", 2, &json!({ "mode": "Recommend" }));
    fixture.push("pod-0", 2);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["replicasBefore"], json!(null));
    // The watch brings the old status until it has the new one.
    fixture.deletion.applies = true;
    fixture.apply("a", 3, &json!({}));
    fixture.push("pod-0", 5);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["replicasBefore"], 4);
    assert!(fixture.target.writes.lock().is_empty());
    fixture.deletion.replicas_before = Some(4);
    fixture.apply("a", 3, &json!({}));
    fixture.push("pod-0", 5);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.target.writes.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_aggregator_forgets_the_count_that_mode_recommend_left_behind() {
    let mut fixture = Fixture::start();
    fixture.deletion = ScalerDeletion {
        applies: false,
        replicas_before: Some(1),
        ..restoring()
    };
    fixture.apply("a", 2, &json!({ "mode": "Recommend" }));
    fixture.deletion.applies = true;
    fixture.apply("a", 3, &json!({}));
    fixture.observe("a", 4, &["pod-0"]);
    fixture.push("pod-0", 5);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["replicasBefore"], 4);
    assert!(fixture.target.writes.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_promoted_follower_keeps_the_count_that_the_leader_stored_after_mode_recommend() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone());
    fixture.handle(Event::ScalersListed(BTreeSet::new()));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.deletion = ScalerDeletion {
        replicas_before: Some(1),
        ..restoring()
    };
    fixture.apply("a", 1, &json!({}));
    fixture.deletion.applies = false;
    fixture.apply("a", 2, &json!({ "mode": "Recommend" }));
    fixture.deletion.replicas_before = None;
    fixture.apply("a", 2, &json!({ "mode": "Recommend" }));
    fixture.deletion.applies = true;
    fixture.deletion.replicas_before = Some(4);
    fixture.apply("a", 3, &json!({}));
    fixture.observe("a", 6, &["pod-0"]);
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    fixture.advance(Duration::from_secs(1)).await;
    fixture.push("pod-0", 5);
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.last_status("a")["replicasBefore"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_promoted_follower_whose_watch_lags_keeps_the_count_that_the_leader_stored() {
    let leadership = Leadership::following();
    let mut fixture = Fixture::with(leadership.clone()).listed();
    fixture.deletion = restoring();
    fixture.apply("a", 3, &json!({}));
    fixture.observe("a", 6, &["pod-0"]);
    // The leader has stored the first replica count and scaled.
    *fixture.target.replicas.lock() = 6;
    fixture.deletion.replicas_before = Some(4);
    fixture.changes = vec![history::change(4, 6)];
    leadership.lead_until(Instant::now() + Duration::from_secs(3600));
    fixture.handle(Event::Promoted);
    fixture.read("a", 6);
    fixture.push("pod-0", 5);
    // A read from before the promotion does not count.
    fixture.handle(Event::StatusesRead {
        start: Instant::now() - Duration::from_secs(1),
        statuses: BTreeMap::new(),
    });
    assert!(fixture.scaler("a").publisher.awaits_status(Instant::now()));
    assert!(fixture.reports.try_recv().is_err());
    fixture.read_statuses();
    fixture.apply("a", 3, &json!({}));
    fixture.push("pod-0", 5);
    fixture.advance(Duration::from_secs(1)).await;
    let status = fixture.last_status("a");
    assert_eq!(status["replicasBefore"], 4, "{status}");
    assert_eq!(history::changes(&status).last().unwrap(), "4 → 6");
}

#[tokio::test(start_paused = true)]
async fn the_replicas_are_restored_before_the_finalizer_is_removed() {
    let mut fixture = Fixture::start();
    delete(&mut fixture, deleting()).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restored_with_keep_or_in_mode_recommend_or_without_a_change() {
    let keep = ScalerDeletion {
        restores: false,
        ..deleting()
    };
    let recommend = ScalerDeletion {
        applies: false,
        ..deleting()
    };
    let unchanged = ScalerDeletion {
        replicas_before: None,
        ..deleting()
    };
    for deletion in [keep, recommend, unchanged] {
        let mut fixture = Fixture::start();
        delete(&mut fixture, deletion).await;
        assert!(fixture.target.writes.lock().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restored_while_another_autoscaler_has_the_target() {
    let mut fixture = Fixture::start();
    fixture.handle(Event::HpaApplied(Arc::new(CompetingHpa {
        key: key("h"),
        target: target("torchserve"),
    })));
    delete(&mut fixture, deleting()).await;
    assert!(fixture.target.writes.lock().is_empty());

    let mut fixture = Fixture::start();
    fixture.apply("b", 1, &json!({}));
    delete(&mut fixture, deleting()).await;
    assert!(fixture.target.writes.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_follower_restores_nothing() {
    let mut fixture = Fixture::with(Leadership::following());
    fixture.handle(Event::ScalersListed(BTreeSet::new()));
    fixture.handle(Event::HpasListed(BTreeSet::new()));
    fixture.deletion = deleting();
    fixture.apply("a", 1, &json!({}));
    fixture.advance(Duration::from_secs(2)).await;
    assert!(fixture.target.writes.lock().is_empty());
    assert!(fixture.target.finalizers.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_restoration_keeps_the_finalizer_and_is_repeated() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::StoresAndFails;
    *fixture.target.replicas.lock() = 3;
    fixture.deletion = deleting();
    fixture.apply("a", 1, &json!({}));
    fixture.advance(Duration::from_secs(5)).await;
    assert!(fixture.target.writes.lock().len() > 1);
    assert!(fixture.target.finalizers.lock().is_empty());
    *fixture.target.behavior.lock() = Behavior::Stores;
    fixture.advance(Duration::from_secs(30)).await;
    assert_eq!(
        fixture.target.finalizers.lock().first().unwrap(),
        &["theirs"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_user_sets_after_the_restoration_stays() {
    let mut fixture = Fixture::start();
    delete(&mut fixture, deleting()).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
    *fixture.target.replicas.lock() = 5;
    // The watch is late.
    fixture.advance(Duration::from_secs(60)).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
    assert_eq!(fixture.target.finalizers.lock().len(), 1);
    // Another client's change came first.
    fixture.deletion.resource_version = "2".to_owned();
    fixture.apply("a", 2, &json!({}));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
    assert_eq!(*fixture.target.finalizers.lock(), [["theirs"]; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_restoration_is_not_repeated_with_the_removal_of_the_finalizer() {
    let mut fixture = Fixture::start();
    *fixture.target.behavior.lock() = Behavior::RejectsFinalizers;
    *fixture.target.replicas.lock() = 3;
    fixture.deletion = deleting();
    fixture.apply("a", 1, &json!({}));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
    *fixture.target.replicas.lock() = 5;
    fixture.advance(Duration::from_secs(30)).await;
    *fixture.target.behavior.lock() = Behavior::Stores;
    fixture.advance(Duration::from_secs(60)).await;
    assert_eq!(*fixture.target.writes.lock(), [(3, 1)]);
    assert_eq!(*fixture.target.finalizers.lock(), [["theirs"]]);
}
