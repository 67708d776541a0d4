//! The store, with changes as the watches report them.

use std::collections::BTreeMap;

use pushscale_api::{PushScalerSpec, Schedules, policy_of};
use pushscale_decision::Pod;
use serde_json::json;

use super::*;
use crate::event::{DeletionFacts, ScalerDeletion};
use crate::status::RestoredStatus;

fn scaler(name: &str, uid: &str, target: &str) -> Box<WatchedScaler> {
    let spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
        "maxReplicas": 3,
        "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "1s" } }],
    });
    let spec: PushScalerSpec = serde_json::from_value(spec).unwrap();
    let namespace = "models".to_owned();
    Box::new(WatchedScaler {
        key: ScalerKey::new(namespace.clone(), name),
        uid: uid.to_owned(),
        generation: Some(1),
        labels: BTreeMap::new(),
        target: TargetRef::deployment(namespace, target),
        policy: policy_of(&spec),
        spec: Some(spec),
        schedules: Schedules::default(),
        restored: RestoredStatus::default(),
        deletion: ScalerDeletion::default(),
    })
}

fn pod(name: &str, label: &str) -> WatchedPod {
    WatchedPod {
        namespace: "models".to_owned(),
        uid: name.into(),
        labels: BTreeMap::from([("app".to_owned(), label.to_owned())]),
        pod: Pod::running(name),
        deletion: DeletionFacts::default(),
    }
}

fn scale(selector: &str) -> Scale {
    Scale {
        replicas: 1,
        existing: Some(1),
        selector: selector.to_owned(),
        uid: None,
        version: 1,
    }
}

/// The events in short, with the name and the number of the watch.
fn short(effects: &Effects) -> Vec<String> {
    let of = |watch: &WatchId| format!("{}#{}", watch.scaler.name, watch.number);
    let events = effects.events.iter().map(|event| match event {
        Event::ScalerApplied(facts) => format!("scaler {}", of(&facts.watch)),
        Event::ScalersListed(all) => format!("{} scalers", all.len()),
        Event::HpaApplied(hpa) => format!("HPA {} of {}", hpa.key.name, hpa.target),
        Event::HpasListed(all) => format!("{} HPAs", all.len()),
        Event::TargetRead {
            watch,
            written_by_us,
            scale,
            ..
        } => match scale {
            Ok(_) if *written_by_us => format!("{} read, ours", of(watch)),
            Ok(_) => format!("{} read", of(watch)),
            Err(error) => format!("{} {error}", of(watch)),
        },
        Event::PodApplied { watch, uid, .. } => format!("{} +{}", of(watch), uid.as_str()),
        Event::PodDeleted { watch, uid } => format!("{} -{}", of(watch), uid.as_str()),
        Event::PodsListed { watch, uids } => format!("{} {} pods", of(watch), uids.len()),
        Event::PodsUnknown { watch, why } => format!("{} {why:?}", of(watch)),
        other => format!("{other:?}"),
    });
    let mut events: Vec<_> = events.collect();
    events.extend(
        effects
            .reads
            .iter()
            .map(|(watch, _)| format!("read {}", of(watch))),
    );
    events
}

/// A store with the scaler `a`, whose target selects `app=a`, and these pods.
fn store_with(pods: &[WatchedPod]) -> Store {
    let mut store = Store::default();
    store.scaler(Change::Listing);
    store.scaler(Change::Listed(scaler("a", "uid-a", "a")));
    store.scaler(Change::ListDone);
    let watch = watch(&store, "a");
    store
        .scale_read(&watch, Instant::now(), Ok(scale("app=a")))
        .unwrap();
    store.pod(Change::Listing);
    for pod in pods {
        store.pod(Change::Listed(pod.clone()));
    }
    store.pod(Change::ListDone);
    store
}

fn watch(store: &Store, name: &str) -> WatchId {
    let scaler = store
        .scalers
        .values()
        .find(|scaler| scaler.watch().scaler.name == name);
    scaler.unwrap().watch().clone()
}

#[test]
fn pods_are_reported_once_the_scale_is_read_and_the_list_is_complete() {
    let mut store = Store::default();
    store.scaler(Change::Listing);
    let applied = store.scaler(Change::Listed(scaler("a", "uid-a", "a")));
    assert_eq!(short(&applied), ["scaler a#1", "read a#1"]);
    assert_eq!(short(&store.scaler(Change::ListDone)), ["1 scalers"]);
    store.pod(Change::Listing);
    assert!(store.pod(Change::Listed(pod("a-0", "a"))).events.is_empty());
    let watch = watch(&store, "a");
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app=a")))
        .unwrap();
    // Half of a list must not look like all pods.
    assert_eq!(short(&read), ["a#1 read"]);
    store.pod(Change::Listed(pod("b-0", "b")));
    assert_eq!(
        short(&store.pod(Change::ListDone)),
        ["a#1 +a-0", "a#1 1 pods"]
    );
}

#[test]
fn pods_of_all_pushscalers_of_a_target_come_from_one_watch() {
    let mut store = store_with(&[]);
    store.scaler(Change::Applied(scaler("b", "uid-b", "a")));
    let watch = watch(&store, "b");
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app=a")))
        .unwrap();
    assert_eq!(short(&read), ["b#2 read", "b#2 0 pods"]);
    let mut events = short(&store.pod(Change::Applied(pod("a-0", "a"))));
    events.sort();
    assert_eq!(events, ["a#1 +a-0", "b#2 +a-0"]);
}

#[test]
fn a_pod_is_reported_when_a_field_in_use_or_its_selection_changes() {
    let mut store = store_with(&[pod("a-0", "a")]);
    assert!(
        store
            .pod(Change::Applied(pod("a-0", "a")))
            .events
            .is_empty()
    );
    let mut unready = pod("a-0", "a");
    unready.pod.ready = false;
    assert_eq!(short(&store.pod(Change::Applied(unready))), ["a#1 +a-0"]);
    let relabelled = store.pod(Change::Applied(pod("a-0", "quarantine")));
    assert_eq!(short(&relabelled), ["a#1 -a-0"]);
    assert!(
        store
            .pod(Change::Deleted(pod("a-0", "quarantine")))
            .events
            .is_empty()
    );
}

#[test]
fn a_new_list_replaces_what_a_broken_watch_missed() {
    let mut store = store_with(&[pod("a-0", "a"), pod("a-1", "a")]);
    store.pod(Change::Listing);
    store.pod(Change::Listed(pod("a-2", "a")));
    assert_eq!(
        short(&store.pod(Change::ListDone)),
        ["a#1 +a-2", "a#1 1 pods"]
    );
    // A PushScaler that was deleted and recreated under its name in the meantime has a new watch.
    store.scaler(Change::Listing);
    let recreated = store.scaler(Change::Listed(scaler("a", "another", "a")));
    assert_eq!(short(&recreated), ["scaler a#2", "read a#2"]);
    store.scaler(Change::ListDone);
    let former = WatchId {
        number: 1,
        ..watch(&store, "a")
    };
    assert!(
        store
            .scale_read(&former, Instant::now(), Ok(scale("app=a")))
            .is_none()
    );
}

#[test]
fn a_changed_selector_selects_other_pods() {
    let mut store = store_with(&[pod("a-0", "a"), pod("b-0", "b")]);
    let watch = watch(&store, "a");
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app=b")))
        .unwrap();
    assert_eq!(short(&read), ["a#1 read", "a#1 +b-0", "a#1 1 pods"]);
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app = ")))
        .unwrap();
    assert_eq!(short(&read), ["a#1 read", "a#1 0 pods"]);
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app in")))
        .unwrap();
    let invalid = r#"a#1 Invalid { message: "app in: \"app in\" is not a requirement" }"#;
    assert_eq!(short(&read), ["a#1 read", invalid]);
}

#[test]
fn a_list_that_fails_is_a_problem_until_the_next_one() {
    let mut store = store_with(&[pod("a-0", "a")]);
    let failed = store.pod(Change::Failed("forbidden".to_owned()));
    assert_eq!(short(&failed), ["a#1 Unlisted { message: \"forbidden\" }"]);
    store.pod(Change::Listing);
    store.pod(Change::Listed(pod("a-0", "a")));
    assert_eq!(
        short(&store.pod(Change::ListDone)),
        ["a#1 +a-0", "a#1 1 pods"]
    );
}

#[test]
fn a_target_is_read_after_each_of_its_changes() {
    let mut store = store_with(&[]);
    let kind = ("apps/v1".to_owned(), "Deployment".to_owned());
    assert_eq!(store.kinds(), BTreeSet::from([kind.clone()]));
    let target = |name: &str| WatchedTarget {
        namespace: "models".to_owned(),
        name: name.to_owned(),
        written_by_us: false,
    };
    let changed = store.target_changed(&kind, Change::Applied(target("a")));
    assert_eq!(short(&changed), ["read a#1"]);
    let other = store.target_changed(&kind, Change::Applied(target("other")));
    assert!(other.reads.is_empty());
    let failed = store.target_changed(&kind, Change::Failed("forbidden".to_owned()));
    assert_eq!(short(&failed), ["a#1 Deployment/a: forbidden"]);
    // Its changes would be missed, so that what a read returns does not count.
    let watch = watch(&store, "a");
    let read = store
        .scale_read(&watch, Instant::now(), Ok(scale("app=a")))
        .unwrap();
    assert_eq!(short(&read), ["a#1 Deployment/a: forbidden"]);
    let listed = store.target_changed(&kind, Change::ListDone);
    assert_eq!(short(&listed), ["read a#1"]);
}

#[test]
fn a_read_reports_the_writer_of_the_replicas() {
    let mut store = store_with(&[]);
    let kind = ("apps/v1".to_owned(), "Deployment".to_owned());
    let watch = watch(&store, "a");
    for change in [Change::Listed, Change::Applied] {
        for (written_by_us, expected) in [(true, "a#1 read, ours"), (false, "a#1 read")] {
            store.target_changed(
                &kind,
                change(WatchedTarget {
                    namespace: "models".to_owned(),
                    name: "a".to_owned(),
                    written_by_us,
                }),
            );
            let read = store
                .scale_read(&watch, Instant::now(), Ok(scale("app=a")))
                .unwrap();
            assert_eq!(short(&read), [expected]);
        }
    }
}

#[test]
fn a_resync_repeats_everything() {
    let mut store = store_with(&[pod("a-0", "a")]);
    let hpa = |name: &str, target: &str| CompetingHpa {
        key: ScalerKey::new("models", name),
        target: TargetRef::deployment("models", target),
    };
    store.hpa(Change::Listing);
    store.hpa(Change::Listed(hpa("kept", "a")));
    store.hpa(Change::Listed(hpa("deleted", "a")));
    store.hpa(Change::ListDone);
    store.hpa(Change::Deleted(hpa("deleted", "a")));
    // What was reported last is repeated.
    store.hpa(Change::Applied(hpa("kept", "b")));
    let mut edited = scaler("a", "uid-a", "a");
    edited.generation = Some(2);
    store.scaler(Change::Applied(edited));
    let resync = store.resync();
    let expected = [
        "scaler a#1",
        "1 scalers",
        "HPA kept of Deployment/b",
        "1 HPAs",
        "a#1 +a-0",
        "a#1 1 pods",
        "read a#1",
    ];
    assert_eq!(short(&resync), expected);
    let Some(Event::ScalerApplied(facts)) = resync.events.first() else {
        panic!("no scaler");
    };
    assert_eq!(facts.generation, Some(2));
}

#[test]
fn a_resync_before_the_lists_does_not_report_them() {
    let mut store = Store::default();
    store.scaler(Change::Listing);
    store.scaler(Change::Listed(scaler("a", "uid-a", "a")));
    assert_eq!(short(&store.resync()), ["scaler a#1", "read a#1"]);
}

#[test]
fn a_target_selects_the_pods_of_its_namespace() {
    let namespaces = ["model", "models", "models-2"];
    let in_namespace = |namespace: &str, mut pod: WatchedPod| {
        namespace.clone_into(&mut pod.namespace);
        pod
    };
    let mut store = Store::default();
    for namespace in namespaces {
        let mut scaler = scaler("a", namespace, "a");
        namespace.clone_into(&mut scaler.key.namespace);
        namespace.clone_into(&mut scaler.target.namespace);
        store.scaler(Change::Applied(scaler));
    }
    store.pod(Change::Listing);
    for namespace in namespaces {
        let pod = in_namespace(namespace, pod(&format!("{namespace}-0"), "a"));
        store.pod(Change::Listed(pod));
    }
    store.pod(Change::ListDone);
    let watches: Vec<_> = store
        .scalers
        .values()
        .map(|one| one.watch().clone())
        .collect();
    for (watch, namespace) in watches.iter().zip(namespaces) {
        let read = store
            .scale_read(watch, Instant::now(), Ok(scale("app=a")))
            .unwrap();
        let number = watch.number;
        let expected = [
            format!("a#{number} read"),
            format!("a#{number} +{namespace}-0"),
            format!("a#{number} 1 pods"),
        ];
        assert_eq!(short(&read), expected);
    }
    let another = in_namespace("models", pod("models-1", "a"));
    assert_eq!(
        short(&store.pod(Change::Applied(another.clone()))),
        ["a#2 +models-1"]
    );
    assert_eq!(
        short(&store.pod(Change::Deleted(another))),
        ["a#2 -models-1"]
    );
    assert!(short(&store.resync()).contains(&"a#3 1 pods".to_owned()));
    // A target of the same name in another namespace is another one.
    let kind = ("apps/v1".to_owned(), "Deployment".to_owned());
    let target = WatchedTarget {
        namespace: "models".to_owned(),
        name: "a".to_owned(),
        written_by_us: true,
    };
    let changed = store.target_changed(&kind, Change::Applied(target));
    assert_eq!(short(&changed), ["read a#2"]);
}
