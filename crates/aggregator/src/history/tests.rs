use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use pushscale_decision::{
    Bounds, Conditions, Decision, Hold, Latency, MeasuredLoad, Moment, Outcome, Policy, Scaler,
    Step, TargetLatency, TargetState,
};

use super::point::POINT_SECONDS;
use super::*;
use crate::names::TargetRef;

/// Returns a decision of a scaler without pods, with these steps.
pub(crate) fn decision(steps: Vec<Step>) -> Decision {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let policy = Policy::new(Bounds::new(1, 10).unwrap(), target);
    let mut scaler = Scaler::new(policy, Conditions::default());
    let message = "no such object".to_owned();
    scaler.decide(Moment::ORIGIN, &TargetState::Unreadable { message });
    Decision {
        current: Some(3),
        outcome: Outcome::Hold(Hold::RightSize),
        steps,
        ..scaler.last_decision().clone()
    }
}

/// The steps of a fleet of three pods with these requests per second.
pub(crate) fn steps(rate: f64) -> Vec<Step> {
    let target = Latency::from_nanos(50_000_000);
    vec![
        Step::Pods {
            ready: 3,
            reporting: 3,
            starting: 0,
        },
        Step::Arrivals {
            model: None,
            rate,
            window: Duration::from_secs(60),
            minute: rate,
        },
        Step::Capacity {
            service: Duration::from_millis(100),
            workers: 4,
            utilisation: 0.9,
            calibration: 1.0,
            pooled: false,
            sharing: None,
            aggregate: pushscale_decision::Aggregate::Mean,
            target,
        },
        Step::Held {
            replicas: 3,
            window: Duration::from_secs(300),
        },
        Step::ScheduledFloor { replicas: 2 },
    ]
}

pub(crate) fn key(name: &str) -> ScalerKey {
    ScalerKey::new("models", name)
}

pub(crate) fn subject(name: &str) -> Arc<ScalerSubject> {
    let target = TargetRef::deployment("models", name);
    Arc::new(ScalerSubject::new(key(name), &target))
}

/// Records a decision without the queue.
pub(crate) fn record(history: &History, name: &str, second: i64, decision: Decision) {
    let record = Record::Decided {
        subject: subject(name),
        decision: Arc::new(decision),
        at: Timestamp::from_second(second).unwrap(),
        is_new: true,
    };
    history.record(record, second.unsigned_abs());
}

fn metrics() -> Metrics {
    Metrics::register(&mut Registry::default())
}

#[test]
fn a_point_has_the_figures_of_the_steps() {
    let point = Point::from_decision(&decision(steps(84.0)), 1234);
    assert_eq!(point.second(), 1230);
    let close = |series, expected: f64| {
        let found = point.get(series).unwrap();
        assert!((found - expected).abs() < 1e-5, "{series:?}: {found}");
    };
    close(Series::Load, 84.0);
    close(Series::ServiceTime, 0.1);
    close(Series::Utilisation, 0.7);
    close(Series::UtilisationLimit, 0.9);
    close(Series::Replicas, 3.0);
    close(Series::Desired, 3.0);
    close(Series::Ready, 3.0);
    close(Series::Scheduled, 2.0);
    close(Series::Held, 3.0);
    assert_eq!(point.get(Series::Latency), None);
}

#[test]
fn the_places_of_the_series_are_their_order() {
    for (index, series) in Series::ALL.into_iter().enumerate() {
        assert_eq!(series as usize, index);
    }
}

#[test]
fn decisions_of_the_same_ten_seconds_are_one_point() {
    let history = History::default();
    for second in [100, 109, 110] {
        record(&history, "a", second, decision(steps(8.0)));
    }
    let snapshot = history.get(&key("a")).unwrap();
    let seconds: Vec<_> = snapshot.points().map(Point::second).collect();
    assert_eq!(seconds, [100, 110]);
    assert_eq!(snapshot.decisions().count(), 3);
}

#[test]
fn a_snapshot_does_not_change() {
    let history = History::default();
    record(&history, "a", 100, decision(Vec::new()));
    let snapshot = history.get(&key("a")).unwrap();
    record(&history, "a", 200, decision(Vec::new()));
    assert_eq!(snapshot.points().count(), 1);
    assert_eq!(history.get(&key("a")).unwrap().points().count(), 2);
}

#[test]
fn a_thousand_scalers_share_the_bytes() {
    let history = History::default();
    let decision = Arc::new(decision(steps(8.0)));
    for scaler in 0..1000 {
        let subject = subject(&format!("scaler-{scaler}"));
        for point in 0..360 {
            let record = Record::Decided {
                subject: Arc::clone(&subject),
                decision: Arc::clone(&decision),
                at: Timestamp::from_second(point * POINT_SECONDS).unwrap(),
                is_new: point % 6 == 0,
            };
            history.record(record, 1);
        }
    }
    let all = history.all();
    let bytes: usize = all.iter().map(|(_, history)| history.bytes()).sum();
    assert_eq!(bytes, history.0.histories.read().bytes);
    assert!(bytes <= MAX_BYTES, "{bytes}");
    assert!(bytes > MAX_BYTES / 2, "{bytes}");
    for (key, history) in all {
        assert_eq!(history.points().count(), MAX_POINTS, "{key}");
        assert!(history.decisions().count() >= 10, "{key}");
    }
}

#[test]
fn the_loads_of_a_thousand_scalers_share_the_bytes() {
    let history = History::default();
    for scaler in 0..1000 {
        let name = format!("scaler-{scaler}");
        record(&history, &name, 100, decision(steps(8.0)));
        // Those in between are unknown, and as large.
        for number in [0, 4000] {
            let sample = LoadSample {
                number,
                start: Timestamp::UNIX_EPOCH,
                load: MeasuredLoad::default(),
            };
            history.record(Record::Load(subject(&name), sample), 1);
        }
    }
    let bytes = || -> usize {
        history
            .all()
            .iter()
            .map(|(_, history)| history.load.bytes())
            .sum()
    };
    assert_eq!(bytes(), history.0.histories.read().load_bytes);
    assert!(
        (MAX_LOAD_BYTES / 2..=MAX_LOAD_BYTES).contains(&bytes()),
        "{}",
        bytes()
    );
    // Of a thousand scalers, each has nine hours.
    let last = history.get(&key("scaler-999")).unwrap();
    assert_eq!(last.load.csv().lines().count(), 1 + 9 * 360 + 115);
    history.record(Record::Removed(key("scaler-0")), 1);
    assert_eq!(bytes(), history.0.histories.read().load_bytes);
    let unknown = LoadSample {
        number: 1,
        start: Timestamp::UNIX_EPOCH,
        load: MeasuredLoad::default(),
    };
    history.record(Record::Load(subject("scaler-0"), unknown), 1);
    assert!(
        history.get(&key("scaler-0")).is_none(),
        "a removed scaler comes back"
    );
}

#[tokio::test]
async fn sent_records_are_stored_and_receivers_notified() {
    let (history, mut sender, task) = History::start(metrics());
    let mut changes = history.changes();
    let task = tokio::spawn(task);
    sender.applied(
        &subject("a"),
        vec!["spec.minReplicas: too large".to_owned()],
    );
    changes.changed().await.unwrap();
    assert_eq!(history.get(&key("a")).unwrap().problems.len(), 1);
    sender.decided(&subject("a"), &Arc::new(decision(steps(1.0))), true);
    while history.get(&key("a")).unwrap().latest.is_none() {
        changes.changed().await.unwrap();
    }
    let snapshot = history.get(&key("a")).unwrap();
    assert!(snapshot.problems.is_empty());
    assert_eq!(snapshot.target, "Deployment/a");
    sender.removed(&key("a"));
    drop(sender);
    task.await.unwrap();
    assert!(history.get(&key("a")).is_none());
}

#[tokio::test]
async fn a_full_queue_loses_decisions_but_no_removal() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (history, mut sender, task) = History::start(metrics);
    let decision = Arc::new(decision(Vec::new()));
    // No task receives them yet, and the sender does not wait.
    for _ in 0..5000 {
        sender.decided(&subject("a"), &decision, false);
    }
    sender.removed(&key("a"));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(
        page.contains("dropped_history_records_total 904\n"),
        "{page}"
    );
    let task = tokio::spawn(task);
    let mut changes = history.changes();
    while history.get(&key("a")).is_none() {
        changes.changed().await.unwrap();
    }
    while history.get(&key("a")).is_some() {
        sender.send_removals();
        tokio::task::yield_now().await;
    }
    drop(sender);
    task.await.unwrap();
}
