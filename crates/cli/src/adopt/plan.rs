//! The steps of a switch and of its undo. Pure.
//!
//! The steps follow from the objects in the cluster, not from a record of an earlier run's progress: repeating the
//! command completes an interrupted run.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use pushscale_aggregator::TargetRef;
use pushscale_api::names::conditions::{ABLE_TO_SCALE, FRESH, SCALING_ACTIVE};
use pushscale_api::{Mode, PushScaler};
use pushscale_decision::Reason;
use serde_json::Value;

use super::adopted::Adopted;
use super::convert::convert;
use super::error::SwitchError;
use super::manifest::{target_of, target_of_hpa, target_of_scaler};
use super::record::{PAUSED, PAUSED_REPLICAS, is_record_of, record_of, stored_in};
use super::source::{Kind, Source};

/// The objects in the cluster.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) source: Source,
    /// The other autoscaler, if it exists.
    pub(super) object: Option<DynamicObject>,
    /// All PushScalers of the namespace.
    pub(super) scalers: Vec<PushScaler>,
    /// All HorizontalPodAutoscalers of the namespace.
    pub(super) hpas: Vec<HorizontalPodAutoscaler>,
}

/// One change of the cluster, or a wait for one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Create the PushScaler in mode Recommend.
    CreateScaler {
        name: String,
        manifest: Value,
        /// What the PushScaler does not take over.
        notes: Vec<String>,
    },
    /// Store what the undo needs in the PushScaler.
    Store { scaler: String, record: Value },
    /// Check that a leader knows the PushScaler: its status may come from an aggregator that has exited.
    CheckAggregator { scaler: String },
    /// Delete the HorizontalPodAutoscaler, unless it has changed, and wait until it is gone.
    DeleteHpa { uid: String, version: String },
    /// Pause the ScaledObject.
    Pause,
    /// Wait until KEDA has deleted its HorizontalPodAutoscaler.
    AwaitPause,
    /// Set the PushScaler's mode.
    SetMode { scaler: String, mode: Mode },
    /// Wait until the aggregator has seen the PushScaler's mode.
    AwaitObserved { scaler: String },
    /// Wait until a HorizontalPodAutoscaler that is being deleted is gone.
    AwaitDeleted,
    /// Create the HorizontalPodAutoscaler again.
    CreateHpa { manifest: Value },
    /// Nothing: the HorizontalPodAutoscaler exists, and differs from the stored one.
    KeepHpa { differences: Vec<String> },
    /// Restore the annotation that pauses the ScaledObject.
    Resume { paused: Option<String> },
    /// Remove what the switch stored.
    Forget { scaler: String },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateScaler { name, .. } => {
                write!(f, "create PushScaler {name} in mode Recommend")
            }
            Self::Store { scaler, .. } => {
                write!(f, "store what --undo needs in PushScaler {scaler}")
            }
            Self::CheckAggregator { scaler } => {
                write!(
                    f,
                    "check that an aggregator leads and knows PushScaler {scaler}"
                )
            }
            Self::DeleteHpa { .. } => write!(f, "delete the HorizontalPodAutoscaler"),
            Self::Pause => write!(f, "pause the ScaledObject"),
            Self::AwaitPause => write!(
                f,
                "wait until KEDA has deleted the ScaledObject's HorizontalPodAutoscaler"
            ),
            Self::SetMode { scaler, mode } => {
                write!(f, "set the mode of PushScaler {scaler} to {mode:?}")
            }
            Self::AwaitObserved { scaler } => write!(
                f,
                "wait until the aggregator has seen the mode of PushScaler {scaler}"
            ),
            Self::AwaitDeleted => {
                write!(f, "wait until the deleted HorizontalPodAutoscaler is gone")
            }
            Self::CreateHpa { .. } => write!(f, "create the HorizontalPodAutoscaler again"),
            Self::KeepHpa { differences } => write!(
                f,
                "keep the existing HorizontalPodAutoscaler, which differs from the stored one: {}",
                differences.join("; ")
            ),
            Self::Resume { .. } => write!(f, "resume the ScaledObject"),
            Self::Forget { scaler } => {
                write!(f, "remove what was stored in PushScaler {scaler}")
            }
        }
    }
}

/// Returns the steps that make the PushScaler the only autoscaler of the target. At no time do two of them write: the
/// PushScaler is in mode Recommend until the other is gone.
pub(super) fn switch(
    state: &State,
    target: Option<&str>,
    force: bool,
) -> Result<Vec<Step>, SwitchError> {
    let source = &state.source;
    let stored = state.storing_scaler();
    let Some(object) = &state.object else {
        // An earlier run has deleted it.
        let scaler = stored.ok_or_else(|| SwitchError::NotFound(source.to_string()))?;
        state.check_others(&target_of_scaler(scaler), None)?;
        let mut steps: Vec<_> = set_mode(scaler, Mode::Apply).into_iter().collect();
        steps.extend(await_apply(Some(scaler), scaler.name_any(), force));
        return Ok(steps);
    };
    let value =
        serde_json::to_value(object).map_err(|error| SwitchError::Unreadable(error.to_string()))?;
    let reference = target_of(&value, source.kind)?;
    state.check_others(&reference, Some(object))?;
    check_object(source, object)?;
    let mut scalers = state.scalers_of(&reference);
    // Its target may have been changed since.
    scalers.extend(stored.filter(|stored| !target_of_scaler(stored).is_same_object(&reference)));
    let mut steps = Vec::new();
    let (name, scaler) = match scalers[..] {
        [] => {
            let name = source.name.clone();
            state.check_name(&name)?;
            let Adopted { manifest, notes } = convert(&value, target)?;
            steps.push(Step::CreateScaler {
                name: name.clone(),
                manifest,
                notes,
            });
            if !force {
                return Ok(steps);
            }
            (name, None)
        }
        [scaler] => {
            check_latency(scaler, target)?;
            (scaler.name_any(), Some(scaler))
        }
        [one, other, ..] => {
            return Err(SwitchError::SeveralScalers {
                one: one.name_any(),
                other: other.name_any(),
            });
        }
    };
    let record = record_of(source, object);
    let previous = scaler.and_then(stored_in);
    if let Some(previous) = previous
        .as_ref()
        .filter(|found| !is_record_of(found, source))
    {
        return Err(SwitchError::AlreadyAdopted {
            scaler: name,
            from: format!("{} {}", previous["kind"], previous["metadata"]["name"]).replace('"', ""),
        });
    }
    // A ScaledObject that an earlier run has paused has lost its original annotation.
    let is_stored = match source.kind {
        Kind::Hpa => previous.as_ref() == Some(&record),
        Kind::ScaledObject => previous.is_some(),
    };
    // Nothing scales once KEDA pauses, so there is no decision to wait for.
    let is_paused = source.kind == Kind::ScaledObject && is_paused(object);
    if let Some(scaler) = scaler.filter(|_| !force && !is_paused) {
        check_ready(scaler)?;
        let scaler = name.clone();
        steps.push(Step::CheckAggregator { scaler });
    }
    if !is_stored {
        let scaler = name.clone();
        steps.push(Step::Store { scaler, record });
    }
    match source.kind {
        Kind::Hpa => steps.push(Step::DeleteHpa {
            uid: object.uid().unwrap_or_default(),
            version: object.resource_version().unwrap_or_default(),
        }),
        Kind::ScaledObject => {
            if !is_paused {
                steps.push(Step::Pause);
            }
            steps.push(Step::AwaitPause);
        }
    }
    match scaler {
        Some(scaler) => steps.extend(set_mode(scaler, Mode::Apply)),
        None => steps.push(Step::SetMode {
            scaler: name.clone(),
            mode: Mode::Apply,
        }),
    }
    steps.extend(await_apply(scaler, name, force));
    Ok(steps)
}

/// Returns the steps that give the target back to the other autoscaler. The PushScaler stays, in mode Recommend.
pub(super) fn undo(state: &State, force: bool) -> Result<Vec<Step>, SwitchError> {
    let source = &state.source;
    let Some((scaler, record)) = state
        .storing_scaler()
        .and_then(|scaler| Some((scaler, stored_in(scaler)?)))
    else {
        return match &state.object {
            Some(_) => Ok(Vec::new()),
            None => Err(SwitchError::NothingStored(source.to_string())),
        };
    };
    let reference = target_of_scaler(scaler);
    state.check_others(&reference, state.object.as_ref())?;
    let name = scaler.name_any();
    let mut steps = Vec::new();
    // Off does not scale either.
    if scaler.spec.mode == Mode::Apply {
        steps.extend(set_mode(scaler, Mode::Recommend));
    }
    if !force {
        let scaler = name.clone();
        steps.push(Step::AwaitObserved { scaler });
    }
    match (source.kind, &state.object) {
        (Kind::Hpa, None) => steps.push(Step::CreateHpa { manifest: record }),
        (Kind::Hpa, Some(hpa)) if hpa.metadata.deletion_timestamp.is_some() => {
            steps.extend([Step::AwaitDeleted, Step::CreateHpa { manifest: record }]);
        }
        (Kind::Hpa, Some(hpa)) => {
            check_restored(hpa, &reference, &name)?;
            let differences = differences(&hpa.data["spec"], &record["spec"]);
            if !differences.is_empty() {
                steps.push(Step::KeepHpa { differences });
            }
        }
        (Kind::ScaledObject, None) => {
            return Err(SwitchError::NothingToResume {
                object: source.to_string(),
                scaler: name,
            });
        }
        (Kind::ScaledObject, Some(_)) => {
            let paused = record["metadata"]["annotations"][PAUSED].as_str();
            let paused = paused.map(ToOwned::to_owned);
            steps.push(Step::Resume { paused });
        }
    }
    steps.push(Step::Forget { scaler: name });
    Ok(steps)
}

/// Whether KEDA has stopped scaling: it sets the condition first, and deletes the HorizontalPodAutoscaler last.
pub(super) fn has_paused(state: &State) -> bool {
    let Some(object) = &state.object else {
        return false;
    };
    let conditions = object.data["status"]["conditions"].as_array();
    let is_paused = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Paused" && condition["status"] == "True");
    is_paused
        && !state
            .hpas
            .iter()
            .any(|hpa| is_owned_by(hpa, &state.source.name))
}

/// Whether the aggregator has seen the PushScaler's spec.
pub(super) fn is_observed(scaler: &PushScaler) -> bool {
    let status = scaler.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    observed.is_some() && observed >= scaler.metadata.generation
}

impl State {
    /// Returns the PushScaler that stores the object's record.
    fn storing_scaler(&self) -> Option<&PushScaler> {
        let is_stored = |scaler: &&PushScaler| {
            stored_in(scaler).is_some_and(|record| is_record_of(&record, &self.source))
        };
        self.scalers.iter().find(is_stored)
    }

    fn scalers_of(&self, target: &TargetRef) -> Vec<&PushScaler> {
        let scalers = self.scalers.iter();
        scalers
            .filter(|scaler| target_of_scaler(scaler).is_same_object(target))
            .collect()
    }

    /// Checks that no PushScaler of another target has the name.
    fn check_name(&self, name: &str) -> Result<(), SwitchError> {
        let mut scalers = self.scalers.iter();
        match scalers.find(|scaler| scaler.name_any() == name) {
            Some(scaler) => Err(SwitchError::NameTaken {
                scaler: name.to_owned(),
                target: target_of_scaler(scaler).to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Checks that no third autoscaler has the target.
    fn check_others(
        &self,
        target: &TargetRef,
        object: Option<&DynamicObject>,
    ) -> Result<(), SwitchError> {
        let is_the_object = |hpa: &&HorizontalPodAutoscaler| match self.source.kind {
            Kind::Hpa => object.is_some() && hpa.name_any() == self.source.name,
            Kind::ScaledObject => is_owned_by(hpa, &self.source.name),
        };
        let mut others = self
            .hpas
            .iter()
            .filter(|hpa| target_of_hpa(hpa).is_same_object(target));
        match others.find(|hpa| !is_the_object(hpa)) {
            Some(hpa) => Err(SwitchError::OtherHpa {
                hpa: hpa.name_any(),
                target: target.to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Checks that a HorizontalPodAutoscaler with the name of the stored one has its target. Otherwise an undo would leave
/// the target without an autoscaler.
fn check_restored(
    hpa: &DynamicObject,
    target: &TargetRef,
    scaler: &str,
) -> Result<(), SwitchError> {
    let value =
        serde_json::to_value(hpa).map_err(|error| SwitchError::Unreadable(error.to_string()))?;
    let found = target_of(&value, Kind::Hpa)?;
    if found.is_same_object(target) {
        return Ok(());
    }
    Err(SwitchError::OtherTarget {
        hpa: hpa.name_any(),
        found: found.to_string(),
        scaler: scaler.to_owned(),
        target: target.to_string(),
    })
}

/// Returns the fields in which a spec differs from the stored one, with both values.
fn differences(found: &Value, stored: &Value) -> Vec<String> {
    let specs = [found, stored].into_iter().filter_map(Value::as_object);
    let names: BTreeSet<_> = specs.flat_map(|spec| spec.keys()).collect();
    names
        .into_iter()
        .filter(|name| found[name] != stored[name])
        .map(|name| format!("spec.{name} is {}, stored {}", found[name], stored[name]))
        .collect()
}

fn check_object(source: &Source, object: &DynamicObject) -> Result<(), SwitchError> {
    let owners = object.owner_references().iter();
    if let (Kind::Hpa, Some(owner)) = (
        source.kind,
        owners.clone().find(|owner| owner.controller == Some(true)),
    ) {
        return Err(SwitchError::Owned {
            hpa: source.to_string(),
            owner: format!("{}/{}", owner.kind.to_lowercase(), owner.name),
        });
    }
    if source.kind == Kind::ScaledObject && object.annotations().contains_key(PAUSED_REPLICAS) {
        return Err(SwitchError::PausedReplicas(source.to_string()));
    }
    Ok(())
}

/// Whether two durations are the same, such as `50ms` and `0.05s`.
fn is_same(one: &str, other: &str) -> bool {
    let parse = |text: &str| text.parse::<SignedDuration>();
    one == other || parse(one).is_ok_and(|one| parse(other).is_ok_and(|other| one == other))
}

/// Checks that `--target` does not contradict an existing PushScaler, which the switch does not change.
fn check_latency(scaler: &PushScaler, target: Option<&str>) -> Result<(), SwitchError> {
    let mut metrics = scaler.spec.metrics.iter();
    match target {
        Some(target) if !metrics.any(|it| is_same(&it.queue_latency.target, target)) => {
            Err(SwitchError::OtherLatency {
                scaler: scaler.name_any(),
                target: target.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Checks that the PushScaler would scale once the other autoscaler is gone.
fn check_ready(scaler: &PushScaler) -> Result<(), SwitchError> {
    let not_ready = |why: String| {
        Err(SwitchError::NotReady {
            scaler: scaler.name_any(),
            why,
        })
    };
    let Some(status) = scaler.status.as_ref().filter(|_| is_observed(scaler)) else {
        return not_ready("the aggregator has not reported on it yet".to_owned());
    };
    // In mode Apply, because the other autoscaler was created again after a switch. Until that is gone nothing is
    // decided, and of the conditions only Fresh follows the pods.
    let contested = Reason::TargetContested.as_str();
    let is_contested = scaler.spec.mode == Mode::Apply
        && status.conditions.iter().any(|it| it.reason == contested);
    let kinds = match is_contested {
        true => [FRESH, ABLE_TO_SCALE],
        false => [SCALING_ACTIVE, ABLE_TO_SCALE],
    };
    for kind in kinds {
        let found = status.conditions.iter().find(|found| found.type_ == kind);
        match found {
            Some(condition) if condition.status == "True" => {}
            Some(condition) if is_contested && condition.reason == contested => {}
            Some(condition) => {
                return not_ready(format!(
                    "{kind} is {} ({}): {}",
                    condition.status, condition.reason, condition.message
                ));
            }
            None => return not_ready(format!("it has no condition {kind} yet")),
        }
    }
    if status.desired_replicas.is_none() && !is_contested {
        return not_ready("it has no decision yet".to_owned());
    }
    Ok(())
}

fn set_mode(scaler: &PushScaler, mode: Mode) -> Option<Step> {
    (scaler.spec.mode != mode).then(|| Step::SetMode {
        scaler: scaler.name_any(),
        mode,
    })
}

/// The aggregator may have exited since it was checked, so the switch ends once one has seen the new mode.
fn await_apply(scaler: Option<&PushScaler>, name: String, force: bool) -> Option<Step> {
    let applies = |scaler: &PushScaler| scaler.spec.mode == Mode::Apply && is_observed(scaler);
    (!force && !scaler.is_some_and(applies)).then_some(Step::AwaitObserved { scaler: name })
}

fn is_paused(object: &DynamicObject) -> bool {
    let annotation = object.annotations().get(PAUSED);
    annotation.is_some_and(|value| value == "true")
}

fn is_owned_by(hpa: &HorizontalPodAutoscaler, scaled_object: &str) -> bool {
    let mut owners = hpa.owner_references().iter();
    owners.any(|owner| owner.kind == Kind::ScaledObject.as_str() && owner.name == scaled_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::record::ADOPTED_FROM;
    use super::*;

    fn hpa() -> Value {
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "torchserve", "namespace": "models", "uid": "u", "resourceVersion": "7" },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
                "maxReplicas": 5,
            },
        })
    }

    fn scaled_object() -> Value {
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": { "name": "torchserve", "namespace": "models" },
            "spec": { "scaleTargetRef": { "name": "torchserve" }, "triggers": [] },
        })
    }

    /// A PushScaler in mode Recommend whose stored status has a decision.
    fn scaler() -> PushScaler {
        let condition = |kind| json!({ "type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-31T11:00:00Z" });
        serde_json::from_value(json!({
            "apiVersion": "pushscale.dev/v1alpha1",
            "kind": "PushScaler",
            "metadata": { "name": "torchserve", "namespace": "models", "generation": 1 },
            "spec": {
                "mode": "Recommend",
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
                "maxReplicas": 5,
                "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "50ms" } }],
            },
            "status": {
                "observedGeneration": 1,
                "desiredReplicas": 3,
                "conditions": [condition(SCALING_ACTIVE), condition(ABLE_TO_SCALE)],
            },
        }))
        .unwrap()
    }

    fn state(source: &str, object: Value) -> State {
        State {
            source: source.parse().unwrap(),
            object: Some(serde_json::from_value(object).unwrap()),
            scalers: vec![scaler()],
            hpas: Vec::new(),
        }
    }

    #[test]
    fn an_aggregator_is_found_before_the_other_autoscaler_stops() {
        for (state, stops) in [
            (state("hpa/torchserve", hpa()), "delete the Horizontal"),
            (state("scaledobject/torchserve", scaled_object()), "pause"),
        ] {
            let position = |steps: &[Step], start: &str| {
                let mut steps = steps.iter();
                steps.position(|step| step.to_string().starts_with(start))
            };
            let steps = switch(&state, None, false).unwrap();
            let checks = position(&steps, "check that an aggregator");
            assert_eq!(checks, Some(0), "{steps:?}");
            assert!(position(&steps, stops) > checks, "{steps:?}");
            let forced = switch(&state, None, true).unwrap();
            assert_eq!(position(&forced, "check"), None, "{forced:?}");
            assert!(position(&forced, stops).is_some(), "{forced:?}");
        }
    }

    #[test]
    fn an_undo_names_what_differs_between_the_existing_hpa_and_the_stored_one() {
        let undone = |existing: Value| {
            let mut state = state("hpa/torchserve", existing);
            let stored = serde_json::from_value(hpa()).unwrap();
            let record = record_of(&state.source, &stored).to_string();
            for scaler in &mut state.scalers {
                let stored = (ADOPTED_FROM.to_owned(), record.clone());
                scaler.annotations_mut().extend([stored]);
            }
            undo(&state, true).unwrap()
        };
        let mut other = hpa();
        other["spec"]["maxReplicas"] = json!(9);
        other["spec"]["minReplicas"] = json!(2);
        assert_eq!(
            undone(other)[0].to_string(),
            "keep the existing HorizontalPodAutoscaler, which differs from the stored one: \
             spec.maxReplicas is 9, stored 5; spec.minReplicas is 2, stored null"
        );
        let scaler = "torchserve".to_owned();
        assert_eq!(undone(hpa()), [Step::Forget { scaler }]);
    }
}
