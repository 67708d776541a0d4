//! The marks by which a scale-down deletes slow pods first: whether slow pods can be replaced, and who removes marks.

use super::*;
use crate::scale_target::CostOwner;

const MARKED: DeletionFacts = DeletionFacts {
    created: None,
    honours_cost: true,
    cost_owner: CostOwner::None,
};

impl Fixture {
    /// Reports `replicas` running pods of the scaler "a".
    fn observe_owned(&mut self, replicas: u32, deletion: &DeletionFacts) {
        self.observe_owned_by("a", replicas, deletion);
    }

    fn observe_owned_by(&mut self, name: &str, replicas: u32, deletion: &DeletionFacts) {
        self.observe(name, replicas, &[]);
        let uids: BTreeSet<_> = (0..replicas)
            .map(|pod| PodUid::from(format!("pod-{pod}")))
            .collect();
        for uid in &uids {
            self.handle(Event::PodApplied {
                watch: watch(name),
                uid: uid.clone(),
                pod: Pod::running(uid.as_str()),
                deletion: deletion.clone(),
            });
        }
        self.handle(Event::PodsListed {
            watch: watch(name),
            uids,
        });
    }

    /// Returns what a decision learns about the order in which a scale-down deletes pods.
    fn deletes_slow_first(&self) -> bool {
        let marks_pods = self.target.marks_pods();
        self.scaler("a").deletes_slow_first(marks_pods)
    }
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_deletes_slow_pods_first_if_all_pods_are_of_a_replica_set() {
    let mut fixture = Fixture::start();
    *fixture.target.marks.lock() = Some(MarkResult::default());
    fixture.apply("a", 1, &json!({}));
    fixture.observe_owned(3, &MARKED);
    assert!(fixture.deletes_slow_first());
    let of_stateful_set = DeletionFacts {
        honours_cost: false,
        ..MARKED
    };
    fixture.observe_owned(3, &of_stateful_set);
    assert!(!fixture.deletes_slow_first());
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_deletes_any_pod_first_if_pods_are_not_marked() {
    let mut fixture = Fixture::start();
    fixture.apply("a", 1, &json!({}));
    fixture.observe_owned(3, &MARKED);
    assert!(!fixture.deletes_slow_first());
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_deletes_any_pod_first_while_marking_is_forbidden() {
    let mut fixture = Fixture::start();
    *fixture.target.marks.lock() = Some(MarkResult {
        failed: 1,
        forbidden: true,
        ..MarkResult::default()
    });
    fixture.apply("a", 1, &json!({}));
    fixture.observe_owned(4, &MARKED);
    assert!(fixture.deletes_slow_first());
    fixture.apply("a", 2, &json!({ "maxReplicas": 3 }));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(4, 3)]);
    assert!(!fixture.deletes_slow_first());

    // A failure for another reason does not show whether it is allowed.
    *fixture.target.marks.lock() = Some(MarkResult {
        failed: 1,
        ..MarkResult::default()
    });
    fixture.observe_owned(3, &MARKED);
    fixture.apply("a", 3, &json!({ "maxReplicas": 2 }));
    fixture.advance(Duration::from_secs(1)).await;
    assert!(!fixture.deletes_slow_first());

    *fixture.target.marks.lock() = Some(MarkResult {
        updated: 1,
        ..MarkResult::default()
    });
    fixture.observe_owned(2, &MARKED);
    fixture.apply("a", 4, &json!({ "maxReplicas": 1 }));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(fixture.target.writes.lock().len(), 3);
    assert!(fixture.deletes_slow_first());
}

#[tokio::test(start_paused = true)]
async fn only_the_scaler_that_writes_removes_the_marks_of_a_target() {
    let mut fixture = Fixture::start();
    *fixture.target.marks.lock() = Some(MarkResult::default());
    fixture.apply("a", 1, &json!({}));
    fixture.observe_owned(4, &MARKED);
    fixture.apply("b", 1, &json!({ "mode": "Recommend" }));
    fixture.observe_owned_by("b", 4, &MARKED);
    fixture.apply("a", 2, &json!({ "maxReplicas": 3 }));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(4, 3)]);
    // The watch reports the mark of the first of four equal pods.
    let marked = DeletionFacts {
        cost_owner: CostOwner::Us,
        ..MARKED
    };
    for name in ["a", "b"] {
        fixture.handle(Event::PodApplied {
            watch: watch(name),
            uid: "pod-0".into(),
            pod: Pod::running("pod-0"),
            deletion: marked.clone(),
        });
    }
    fixture.advance(Duration::from_secs(1)).await;
    fixture.handle(Event::ScalerDeleted(key("b")));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.unmarked.lock(), [""; 0]);
    // The pod was not deleted.
    fixture.advance(Duration::from_secs(10)).await;
    assert_eq!(*fixture.target.unmarked.lock(), ["pod-0"]);
}

/// Begins a scale-down that the API server does not answer, of a target of which the watch has not reported the mark.
async fn hanging_scale_down() -> Fixture {
    let mut fixture = Fixture::start();
    *fixture.target.marks.lock() = Some(MarkResult {
        updated: 1,
        ..MarkResult::default()
    });
    *fixture.target.behavior.lock() = Behavior::Hangs;
    fixture.apply("a", 1, &json!({}));
    fixture.observe_owned(4, &MARKED);
    fixture.apply("a", 2, &json!({ "maxReplicas": 3 }));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.writes.lock(), [(4, 3)]);
    assert!(fixture.target.unmarked.lock().is_empty());
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_scale_down_leaves_no_marks_that_the_watch_has_not_reported() {
    let mut fixture = hanging_scale_down().await;
    fixture.handle(Event::ScalerDeleted(key("a")));
    fixture.advance(Duration::from_secs(1)).await;
    assert_eq!(*fixture.target.abandoned.lock(), 1);
    assert_eq!(fixture.target.unmarked.lock().len(), 1);
}

/// The next one may have marked the same pods.
#[tokio::test(start_paused = true)]
async fn a_cancelled_scale_down_leaves_the_marks_to_a_scaler_that_writes_the_target_now() {
    for next in ["a", "b"] {
        let mut fixture = hanging_scale_down().await;
        fixture.handle(Event::ScalerDeleted(key("a")));
        fixture.apply(next, 1, &json!({}));
        fixture.advance(Duration::from_secs(1)).await;
        assert_eq!(*fixture.target.abandoned.lock(), 1);
        assert!(fixture.target.unmarked.lock().is_empty(), "{next}");
    }
}
