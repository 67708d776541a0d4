//! Chooses the models that a scaler tracks.

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::model::{ModelState, PodHistory};
use crate::moment::Moment;
use crate::reading::Reading;
use crate::scaler::Scaler;

/// A model that no pod has reported for this long makes room for another one. Longer than a rollout takes to replace
/// the only pod with the model.
const RETENTION: Duration = Duration::from_secs(600);

/// How long a report of an untracked model prevents scaling down. Pods report every second, and up to every minute.
const UNTRACKED_FOR: Duration = Duration::from_secs(120);

impl Scaler {
    /// Tracks the models of a reading, as far as there is room.
    pub(crate) fn track_models(&mut self, now: Moment, reading: &Reading) {
        if self.models.is_empty() && reading.models.is_empty() {
            // A fleet without requests is idle, whatever its models are called.
            self.models.push(ModelState::new("".into()));
        }
        for model in &reading.models {
            if !self.track_model(now, &model.name) {
                self.untracked_at = Some(now);
            }
        }
    }

    /// Returns whether pods report a model that is not tracked, and whose demand is therefore unknown.
    pub(crate) fn has_untracked_models(&self, now: Moment) -> bool {
        self.untracked_at
            .is_some_and(|at| now.since(at) < UNTRACKED_FOR)
    }

    fn track_model(&mut self, now: Moment, name: &str) -> bool {
        if let Some(model) = self.models.iter_mut().find(|model| *model.name == *name) {
            model.reported_at = now;
            return true;
        }
        let mut model = ModelState::new(name.into());
        model.reported_at = now;
        if let Some(restored) = self.restored_models.take(name) {
            model.restore(now, &restored);
        }
        let outside = &self.decision.conditions.outside_envelope;
        if outside.as_ref().is_some_and(|outside| outside.status) {
            model.start_outside_envelope();
        }
        if self.models.len() < Checkpoint::MAX_MODELS {
            self.models.push(model);
            return true;
        }
        let Some(slot) = self.replaceable(now, name) else {
            return false;
        };
        self.models[slot] = model;
        for pod in self.fleet.pods_mut() {
            if let Some(history) = pod.histories.get_mut(slot) {
                *history = PodHistory::default();
            }
        }
        true
    }

    /// Returns the slot that model `name` may take. A model that the spec names takes that of any other model, because
    /// a pod could report invented models to take all slots.
    fn replaceable(&self, now: Moment, name: &str) -> Option<usize> {
        let is_named = |name: &str| {
            let mut models = self.policy.metrics.iter().map(|metric| &metric.model);
            models.any(|model| model.as_deref() == Some(name))
        };
        let needed = is_named(name);
        self.models
            .iter()
            .enumerate()
            .filter(|(_, model)| !is_named(&model.name))
            .filter(|(_, model)| needed || now.since(model.reported_at) >= RETENTION)
            .min_by_key(|(_, model)| (model.reported_at, Arc::clone(&model.name)))
            .map(|(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::{Conditions, Reason};
    use crate::latency::Latency;
    use crate::pod::{Pod, PodUid};
    use crate::policy::{Algorithm, Bounds, Policy, TargetLatency};
    use crate::reading::{ModelReading, Queue, ServerState};
    use crate::target::{Selector, TargetState};

    fn policy(model: Option<&str>) -> Policy {
        let target = TargetLatency::new(Latency::from_nanos(1_000_000_000)).unwrap();
        let mut policy = Policy::new(Bounds::new(1, 40).unwrap(), target);
        policy.algorithm = Algorithm::Model;
        policy.metrics[0].model = model.map(Into::into);
        policy
    }

    /// A scaler with one pod.
    struct Fixture {
        scaler: Scaler,
        sequence: u64,
    }

    impl Fixture {
        fn new(policy: Policy) -> Self {
            let mut scaler = Scaler::new(policy, Conditions::default());
            scaler.apply_pod(Moment::ORIGIN, uid(), Pod::running("a"));
            Self {
                scaler,
                sequence: 0,
            }
        }

        fn report<'a>(&mut self, second: u64, models: impl IntoIterator<Item = &'a str>) {
            self.sequence += 1;
            let now = Moment::from_secs(second);
            let models = models.into_iter().map(|name| ModelReading {
                name: name.to_owned(),
                queue: Some(Queue {
                    workers: 1,
                    ..Queue::default()
                }),
                ..ModelReading::default()
            });
            let reading = Reading {
                source: 1,
                sequence: self.sequence,
                clock: now.since_origin(),
                fresh_for: Duration::from_secs(3),
                server: ServerState::Ready,
                models: models.collect(),
                ..Reading::blank()
            };
            self.scaler.learn(now, &uid(), now, &reading).unwrap();
        }

        fn tracks(&self, name: &str) -> bool {
            self.scaler.models.iter().any(|model| *model.name == *name)
        }
    }

    fn uid() -> PodUid {
        PodUid::from("a")
    }

    fn names(count: usize) -> Vec<String> {
        (0..count)
            .map(|index| format!("model-{index:03}"))
            .collect()
    }

    #[test]
    fn a_model_takes_the_slot_of_one_that_is_no_longer_reported() {
        let mut fixture = Fixture::new(policy(None));
        let old = names(Checkpoint::MAX_MODELS);
        fixture.report(1, old.iter().map(String::as_str));
        fixture.report(2, ["new"]);
        assert!(!fixture.tracks("new"));
        let kept = old[1..].iter().map(String::as_str);
        fixture.report(700, kept.chain(["new"]));
        assert!(fixture.tracks("new") && !fixture.tracks(&old[0]));
        assert_eq!(fixture.scaler.models.len(), Checkpoint::MAX_MODELS);
        let pod = fixture.scaler.fleet.get_mut(&uid()).unwrap();
        assert_eq!(pod.histories.len(), Checkpoint::MAX_MODELS);
    }

    #[test]
    fn a_model_that_the_spec_names_is_always_tracked() {
        let mut fixture = Fixture::new(policy(Some("resnet")));
        let invented = names(256);
        fixture.report(1, invented.iter().map(String::as_str));
        fixture.report(2, ["resnet"]);
        fixture.report(3, invented.iter().map(String::as_str));
        assert!(fixture.tracks("resnet"));
    }

    #[test]
    fn untracked_models_prevent_a_scale_down_and_are_a_condition() {
        let mut fixture = Fixture::new(policy(None));
        let target = TargetState::Known {
            replicas: 1,
            existing: None,
            selector: Selector::Usable,
            deletes_slow_first: true,
        };
        let all = names(Checkpoint::MAX_MODELS + 1);
        for second in 1..20 {
            fixture.report(second, all.iter().map(String::as_str));
        }
        let decision = fixture.scaler.decide(Moment::from_secs(20), &target);
        let incomplete = decision.conditions.metrics_incomplete.as_ref().unwrap();
        assert_eq!(incomplete.reason, Reason::TooManyModels);
        assert!(incomplete.status);
    }
}
