//! The state of the cluster as the watches report it: the PushScalers, their targets, the pods and the HPAs.
//!
//! The store takes the changes of the watches and returns the events for the control loop. It is pure: the same state
//! follows from a list as from all changes before, so a watch that restarts loses nothing.

mod pods;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeFrom;
use std::sync::Arc;

use kube::core::{Selector, SelectorExt as _};
use pushscale_api::selector;
use pushscale_decision as decision;
use tokio::time::Instant;

use super::change::Change;
use super::objects::{WatchedPod, WatchedScaler, WatchedTarget};
use crate::event::{CompetingHpa, Event, ScalerFacts, WatchId};
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{Scale, ScaleError};
use pods::Pods;

/// The `apiVersion` and `kind` of targets, which share a watch.
pub(super) type TargetKind = (String, String);

/// The objects of the cluster.
#[derive(Debug, Default)]
pub(super) struct Store {
    scalers: BTreeMap<ScalerKey, StoredScaler>,
    relisted_scalers: BTreeSet<ScalerKey>,
    scalers_listed: bool,
    hpas: BTreeMap<ScalerKey, Arc<CompetingHpa>>,
    relisted_hpas: BTreeSet<ScalerKey>,
    hpas_listed: bool,
    pods: Pods,
    relisted_pods: Pods,
    /// Whether the pods have been listed, and the error if that fails now.
    pods_listed: bool,
    pods_failed: Option<String>,
    /// The error of each kind whose objects cannot be listed.
    failed_kinds: BTreeMap<TargetKind, String>,
    last_number: u64,
}

/// A PushScaler, and the selector of its target's pods.
#[derive(Debug)]
struct StoredScaler {
    /// What was last reported, for a resync. Shared with the event.
    facts: Arc<ScalerFacts>,
    /// Whether an aggregator wrote the target's replicas last.
    written_by_us: bool,
    /// The selector as text and parsed; `None` before the scale was read.
    selector: Option<(String, Result<Selector, String>)>,
}

/// What follows from a change.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Events for the control loop, in order.
    pub(super) events: Vec<Event>,
    /// Targets whose scale must be read.
    pub(super) reads: Vec<(WatchId, TargetRef)>,
}

impl Store {
    /// Returns the kinds of all targets.
    pub(super) fn kinds(&self) -> BTreeSet<TargetKind> {
        self.scalers
            .values()
            .map(|scaler| kind_of(scaler.target()))
            .collect()
    }

    pub(super) fn scaler(&mut self, change: Change<Box<WatchedScaler>>) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Listing => self.relisted_scalers.clear(),
            Change::Listed(scaler) => {
                self.relisted_scalers.insert(scaler.key.clone());
                self.apply_scaler(scaler, &mut effects);
            }
            Change::ListDone => {
                let all = std::mem::take(&mut self.relisted_scalers);
                self.scalers.retain(|key, _| all.contains(key));
                self.scalers_listed = true;
                effects.events.push(Event::ScalersListed(all));
            }
            Change::Applied(scaler) => self.apply_scaler(scaler, &mut effects),
            Change::Deleted(scaler) => {
                self.scalers.remove(&scaler.key);
                effects.events.push(Event::ScalerDeleted(scaler.key));
            }
            // What is known of PushScalers stays valid until they can be listed again.
            Change::Failed(_) => {}
        }
        effects
    }

    fn apply_scaler(&mut self, scaler: Box<WatchedScaler>, effects: &mut Effects) {
        let WatchedScaler {
            key,
            uid,
            generation,
            labels,
            target,
            policy,
            spec,
            schedules,
            restored,
            deletion,
        } = *scaler;
        // A PushScaler that was deleted and recreated has a new uid, and is a new one.
        let known = self.scalers.get_mut(&key);
        let known = known.filter(|known| known.facts.uid == uid && known.facts.target == target);
        let watch = match &known {
            Some(known) => known.facts.watch.clone(),
            None => {
                self.last_number += 1;
                WatchId {
                    scaler: key.clone(),
                    number: self.last_number,
                }
            }
        };
        let facts = Arc::new(ScalerFacts {
            key: key.clone(),
            uid,
            generation,
            labels,
            target,
            watch,
            policy,
            spec: spec.map(Arc::new),
            schedules,
            conditions: restored.conditions,
            last_scale_time: restored.last_scale_time,
            transitions: restored.transitions,
            changes: restored.changes,
            deletion,
        });
        effects
            .events
            .push(Event::ScalerApplied(Arc::clone(&facts)));
        match known {
            Some(known) => known.facts = facts,
            None => {
                let scaler = StoredScaler {
                    facts,
                    written_by_us: false,
                    selector: None,
                };
                effects.reads.push(scaler.read());
                self.scalers.insert(key, scaler);
            }
        }
    }

    pub(super) fn hpa(&mut self, change: Change<CompetingHpa>) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Listing => self.relisted_hpas.clear(),
            Change::Listed(hpa) => {
                self.relisted_hpas.insert(hpa.key.clone());
                self.apply_hpa(hpa, &mut effects);
            }
            Change::ListDone => {
                let all = std::mem::take(&mut self.relisted_hpas);
                self.hpas.retain(|key, _| all.contains(key));
                self.hpas_listed = true;
                effects.events.push(Event::HpasListed(all));
            }
            Change::Applied(hpa) => self.apply_hpa(hpa, &mut effects),
            Change::Deleted(hpa) => {
                self.hpas.remove(&hpa.key);
                effects.events.push(Event::HpaDeleted(hpa.key));
            }
            Change::Failed(_) => {}
        }
        effects
    }

    fn apply_hpa(&mut self, hpa: CompetingHpa, effects: &mut Effects) {
        let hpa = Arc::new(hpa);
        self.hpas.insert(hpa.key.clone(), Arc::clone(&hpa));
        effects.events.push(Event::HpaApplied(hpa));
    }

    pub(super) fn pod(&mut self, change: Change<WatchedPod>) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Listing => self.relisted_pods.clear(),
            // A list counts when it is complete: half of the pods must not look like all of them.
            Change::Listed(pod) => {
                self.relisted_pods.insert(pod);
            }
            Change::ListDone => {
                self.pods = std::mem::take(&mut self.relisted_pods);
                self.pods_listed = true;
                self.pods_failed = None;
                self.report_all_pods(&mut effects);
            }
            Change::Applied(pod) => self.apply_pod(pod, &mut effects),
            Change::Deleted(pod) => {
                let last = self.pods.remove(&pod).unwrap_or(pod);
                for scaler in self.selecting(&last) {
                    effects.events.push(Event::PodDeleted {
                        watch: scaler.watch().clone(),
                        uid: last.uid.clone(),
                    });
                }
            }
            Change::Failed(error) => {
                self.pods_failed = Some(error);
                self.report_all_pods(&mut effects);
            }
        }
        effects
    }

    fn apply_pod(&mut self, pod: WatchedPod, effects: &mut Effects) {
        let previous = self.pods.insert(pod.clone());
        // Most changes of a pod are in fields that are not used here.
        if previous.as_ref() == Some(&pod) {
            return;
        }
        let selecting: HashSet<_> = self.selecting(&pod).map(|scaler| scaler.watch()).collect();
        for watch in &selecting {
            effects.events.push(applied(watch, &pod));
        }
        if let Some(previous) = &previous {
            // Its labels have changed.
            let former = self.selecting(previous).map(|scaler| scaler.watch());
            for watch in former.filter(|watch| !selecting.contains(watch)) {
                effects.events.push(Event::PodDeleted {
                    watch: watch.clone(),
                    uid: pod.uid.clone(),
                });
            }
        }
    }

    /// Returns the PushScalers whose targets select the pod.
    fn selecting(&self, pod: &WatchedPod) -> impl Iterator<Item = &StoredScaler> {
        let scalers = self.scalers.range(keys_from(&pod.namespace));
        scalers
            .take_while(|(key, _)| key.namespace == pod.namespace)
            .map(|(_, scaler)| scaler)
            .filter(|scaler| scaler.selects(pod))
    }

    fn report_all_pods(&self, effects: &mut Effects) {
        for scaler in self.scalers.values() {
            self.report_pods(scaler, effects);
        }
    }

    /// Reports all pods that the target of `scaler` selects.
    fn report_pods(&self, scaler: &StoredScaler, effects: &mut Effects) {
        let watch = scaler.watch();
        let Some((text, selector)) = &scaler.selector else {
            return;
        };
        // An empty selector would select all pods of the namespace. The scale reports it.
        if text.is_empty() {
            return;
        }
        let why = match (selector, &self.pods_failed) {
            (Err(error), _) => Some(decision::Selector::Invalid {
                message: format!("{text}: {error}"),
            }),
            (Ok(_), Some(error)) => Some(decision::Selector::Unlisted {
                message: error.clone(),
            }),
            (Ok(_), None) => None,
        };
        if let Some(why) = why {
            let watch = watch.clone();
            effects.events.push(Event::PodsUnknown { watch, why });
            return;
        }
        if !self.pods_listed {
            return;
        }
        let mut uids = BTreeSet::new();
        let pods = self.pods.of_namespace(&scaler.target().namespace);
        for pod in pods.filter(|pod| scaler.selects(pod)) {
            uids.insert(pod.uid.clone());
            effects.events.push(applied(watch, pod));
        }
        let watch = watch.clone();
        effects.events.push(Event::PodsListed { watch, uids });
    }

    pub(super) fn target_changed(
        &mut self,
        kind: &TargetKind,
        change: Change<WatchedTarget>,
    ) -> Effects {
        let mut effects = Effects::default();
        match change {
            Change::Listing => {}
            // All scales are read after the list.
            Change::Listed(target) => {
                self.targeting(kind, &target);
            }
            Change::ListDone => {
                self.failed_kinds.remove(kind);
                let scalers = self.scalers.values();
                let of_kind = scalers.filter(|scaler| kind_of(scaler.target()) == *kind);
                effects.reads.extend(of_kind.map(StoredScaler::read));
            }
            Change::Applied(target) | Change::Deleted(target) => {
                effects.reads = self.targeting(kind, &target);
            }
            // A target whose changes would be missed cannot be scaled.
            Change::Failed(error) => {
                self.failed_kinds.insert(kind.clone(), error.clone());
                for scaler in self.scalers.values() {
                    if kind_of(scaler.target()) == *kind {
                        let scale = Err(unreadable(scaler.target(), error.clone()));
                        let watch = scaler.watch().clone();
                        let start = Instant::now();
                        effects.events.push(Event::TargetRead {
                            watch,
                            start,
                            written_by_us: scaler.written_by_us,
                            scale,
                        });
                    }
                }
            }
        }
        effects
    }

    /// Records who wrote the replicas of a target, and returns the PushScalers that scale it.
    fn targeting(
        &mut self,
        kind: &TargetKind,
        target: &WatchedTarget,
    ) -> Vec<(WatchId, TargetRef)> {
        let scalers = self.scalers.range_mut(keys_from(&target.namespace));
        scalers
            .take_while(|(key, _)| key.namespace == target.namespace)
            .map(|(_, scaler)| scaler)
            .filter(|scaler| {
                scaler.target().name == target.name && kind_of(scaler.target()) == *kind
            })
            .map(|scaler| {
                scaler.written_by_us = target.written_by_us;
                scaler.read()
            })
            .collect()
    }

    /// Handles the result of a read. Returns `None` if the watch ended.
    pub(super) fn scale_read(
        &mut self,
        watch: &WatchId,
        start: Instant,
        scale: Result<Scale, ScaleError>,
    ) -> Option<Effects> {
        let scaler = self.scalers.get_mut(&watch.scaler)?;
        if scaler.watch() != watch {
            return None;
        }
        let mut effects = Effects::default();
        let failed = self.failed_kinds.get(&kind_of(scaler.target()));
        let scale = match (scale, failed) {
            (Ok(_), Some(error)) => Err(unreadable(scaler.target(), error.clone())),
            (scale, _) => scale,
        };
        let selector = scale.as_ref().ok().map(|scale| scale.selector.clone());
        effects.events.push(Event::TargetRead {
            watch: watch.clone(),
            start,
            written_by_us: scaler.written_by_us,
            scale,
        });
        if let Some(text) = selector
            && scaler
                .selector
                .as_ref()
                .is_none_or(|(known, _)| *known != text)
        {
            let parsed = selector::parse(&text);
            scaler.selector = Some((text, parsed));
            if let Some(scaler) = self.scalers.get(&watch.scaler) {
                self.report_pods(scaler, &mut effects);
            }
        }
        Some(effects)
    }

    /// Returns everything that would repair a control loop with another state: all objects, and reads of all scales.
    pub(super) fn resync(&self) -> Effects {
        let mut effects = self.reread();
        let events = &mut effects.events;
        let scalers = self.scalers.values();
        events.extend(scalers.map(|scaler| Event::ScalerApplied(Arc::clone(&scaler.facts))));
        if self.scalers_listed {
            let all = self.scalers.keys().cloned().collect();
            events.push(Event::ScalersListed(all));
        }
        events.extend(self.hpas.values().cloned().map(Event::HpaApplied));
        if self.hpas_listed {
            let all = self.hpas.keys().cloned().collect();
            events.push(Event::HpasListed(all));
        }
        self.report_all_pods(&mut effects);
        effects
    }

    /// Returns reads of all scales.
    pub(super) fn reread(&self) -> Effects {
        let scalers = self.scalers.values();
        Effects {
            reads: scalers.map(StoredScaler::read).collect(),
            events: Vec::new(),
        }
    }
}

impl StoredScaler {
    fn watch(&self) -> &WatchId {
        &self.facts.watch
    }

    fn target(&self) -> &TargetRef {
        &self.facts.target
    }

    /// Returns a read of its scale.
    fn read(&self) -> (WatchId, TargetRef) {
        (self.watch().clone(), self.target().clone())
    }

    fn selects(&self, pod: &WatchedPod) -> bool {
        let Some((text, Ok(selector))) = &self.selector else {
            return false;
        };
        !text.is_empty()
            && self.target().namespace == pod.namespace
            && selector.matches(&pod.labels)
    }
}

/// Returns a range that begins with the first PushScaler of a namespace. Its target is in the same namespace.
fn keys_from(namespace: &str) -> RangeFrom<ScalerKey> {
    ScalerKey::new(namespace, "")..
}

fn applied(watch: &WatchId, pod: &WatchedPod) -> Event {
    Event::PodApplied {
        watch: watch.clone(),
        uid: pod.uid.clone(),
        pod: pod.pod.clone(),
        deletion: pod.deletion.clone(),
    }
}

pub(super) fn kind_of(target: &TargetRef) -> TargetKind {
    (target.api_version.clone(), target.kind.clone())
}

fn unreadable(target: &TargetRef, message: String) -> ScaleError {
    ScaleError::Other {
        target: target.to_string(),
        message,
    }
}

#[cfg(test)]
mod tests;
