//! Carries out a switch or its undo, step by step.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Api, ResourceExt as _};
use pushscale_api::PushScaler;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::error::SwitchError;
use super::plan::{self, State, Step};
use super::record::{ADOPTED_FROM, PAUSED};
use super::source::Source;
use crate::CommandError;
use crate::cluster::{Cluster, ClusterError, Connection, TIMEOUT, request};
use crate::output::print;

/// Name in `metadata.managedFields`.
const FIELD_MANAGER: &str = "pushscale";

/// How long a step waits for KEDA, the aggregator or a finalizer.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How often the steps are planned again because an object has changed in between.
const ATTEMPTS: usize = 5;

/// Status codes of the API server.
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// The direction of a change-over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the other autoscaler to the PushScaler.
    Switch,
    /// Back.
    Undo,
}

/// The user's request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) source: &'a Source,
    pub(super) direction: Direction,
    /// The target latency of a PushScaler that does not exist yet.
    pub(super) target: Option<&'a str>,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    /// The address of the aggregator's admin port; `None`: the leader, through the API server.
    pub(super) aggregator: Option<&'a str>,
}

/// Whether a step was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// An object has changed since it was read.
    Changed,
}

/// Carries out what is left to do, and prints each step before it begins.
pub(super) async fn run(cluster: Cluster, wanted: &Request<'_>) -> Result<(), CommandError> {
    let switch = Switch { cluster, wanted };
    for _ in 0..ATTEMPTS {
        let state = switch.read().await?;
        let steps = match wanted.direction {
            Direction::Switch => plan::switch(&state, wanted.target, wanted.force)?,
            Direction::Undo => plan::undo(&state, wanted.force)?,
        };
        if steps.is_empty() {
            return print("nothing to do\n");
        }
        if switch.take(&steps).await? == Outcome::Done {
            return Ok(());
        }
    }
    Err(SwitchError::Changing.into())
}

/// A request and the cluster.
struct Switch<'a> {
    cluster: Cluster,
    wanted: &'a Request<'a>,
}

impl Switch<'_> {
    async fn take(&self, steps: &[Step]) -> Result<Outcome, CommandError> {
        let wanted = self.wanted;
        for step in steps {
            if wanted.dry_run {
                print(&format!("would {step}\n"))?;
                continue;
            }
            print(&format!("{step}\n"))?;
            if let Step::CreateScaler { notes, .. } = step {
                print_notes(notes);
            }
            if self.carry_out(step).await? == Outcome::Changed {
                return Ok(Outcome::Changed);
            }
        }
        match steps {
            [Step::CreateScaler { name, .. }] if !wanted.dry_run => Err(SwitchError::Created {
                scaler: name.clone(),
            }
            .into()),
            _ => Ok(Outcome::Done),
        }
    }

    async fn read(&self) -> Result<State, ClusterError> {
        let (source, namespace) = (self.wanted.source, &self.cluster.namespace);
        let what = |kind: &str| format!("the {kind} of namespace {namespace}");
        let named = format!("{} {namespace}/{}", source.kind.as_str(), source.name);
        let scalers = self.cluster.scalers(false);
        let client = self.cluster.client.clone();
        let hpas: Api<HorizontalPodAutoscaler> = Api::namespaced(client, namespace);
        let parameters = ListParams::default();
        Ok(State {
            source: source.clone(),
            object: request(&named, self.objects().get_opt(&source.name)).await?,
            scalers: request(&what("PushScalers"), scalers.list(&parameters))
                .await?
                .items,
            hpas: request(&what("HorizontalPodAutoscalers"), hpas.list(&parameters))
                .await?
                .items,
        })
    }

    async fn carry_out(&self, step: &Step) -> Result<Outcome, SwitchError> {
        let (scalers, objects) = (self.cluster.scalers(false), self.objects());
        let name = self.wanted.source.name.as_str();
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let create = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let patch_scaler = async |name: &str, patch: Value| {
            let patch = Patch::Merge(patch);
            write(step, scalers.patch(name, &params, &patch)).await
        };
        let annotate = |value: Value| json!({ "metadata": { "annotations": value } });
        let set_paused = async |value: Value| {
            let patch = Patch::Merge(annotate(json!({ PAUSED: value })));
            write(step, objects.patch(name, &params, &patch)).await
        };
        match step {
            Step::CreateScaler { manifest, .. } => {
                write(step, scalers.create(&create, &parse(manifest)?)).await
            }
            Step::Store { scaler, record } => {
                let record = annotate(json!({ ADOPTED_FROM: record.to_string() }));
                patch_scaler(scaler, record).await
            }
            Step::CheckAggregator { scaler } => {
                let checked = self.check_aggregator(scaler).await;
                checked.map_err(|source| SwitchError::NoAggregator {
                    scaler: scaler.clone(),
                    source,
                })?;
                Ok(Outcome::Done)
            }
            Step::SetMode { scaler, mode } => {
                patch_scaler(scaler, json!({ "spec": { "mode": mode } })).await
            }
            Step::Forget { scaler } => {
                patch_scaler(scaler, annotate(json!({ ADOPTED_FROM: null }))).await
            }
            Step::DeleteHpa { uid, version } => {
                let unchanged = DeleteParams::default().preconditions(Preconditions {
                    uid: Some(uid.clone()),
                    resource_version: Some(version.clone()),
                });
                let deleted = write(step, objects.delete(name, &unchanged)).await?;
                if deleted == Outcome::Changed {
                    return Ok(deleted);
                }
                self.until_deleted(step, Some(uid)).await
            }
            Step::AwaitDeleted => self.until_deleted(step, None).await,
            Step::CreateHpa { manifest } => {
                write(step, objects.create(&create, &parse(manifest)?)).await
            }
            Step::KeepHpa { .. } => Ok(Outcome::Done),
            Step::Pause => set_paused(json!("true")).await,
            Step::Resume { paused } => set_paused(json!(paused)).await,
            Step::AwaitPause => {
                let hint = "check that KEDA's operator is running";
                self.until(step, hint, plan::has_paused).await
            }
            Step::AwaitObserved { scaler } => {
                let hint = match self.wanted.direction {
                    Direction::Switch => {
                        "check that the aggregator is running (nothing scales until then; --undo --force goes back)"
                    }
                    Direction::Undo => {
                        "check that the aggregator is running; with --force it is not waited for"
                    }
                };
                self.until(step, hint, |state| {
                    let named = |found: &&PushScaler| {
                        found.metadata.name.as_deref() == Some(scaler.as_str())
                    };
                    state
                        .scalers
                        .iter()
                        .find(named)
                        .is_some_and(plan::is_observed)
                })
                .await
            }
        }
    }

    /// Checks that the leading aggregator responds, and knows the PushScaler.
    async fn check_aggregator(&self, scaler: &str) -> Result<(), ClusterError> {
        const METRICS: &str = "/metrics";
        let connection = Connection::open(&self.cluster, self.wanted.aggregator).await?;
        connection.scaler(&self.cluster.namespace, scaler).await?;
        let metrics = connection.get(METRICS).await?.unwrap_or_default();
        let mut lines = metrics.split(|byte| *byte == b'\n');
        if lines.any(|line| line == b"pushscale_aggregator_leader 1") {
            return Ok(());
        }
        Err(ClusterError::Aggregator {
            aggregator: connection.name().to_owned(),
            path: METRICS.to_owned(),
            problem: "it is not the leader, which alone scales".to_owned(),
        })
    }

    /// Waits until the object is gone. With a uid, another one of its name may already exist.
    async fn until_deleted(&self, step: &Step, uid: Option<&str>) -> Result<Outcome, SwitchError> {
        let hint = "a finalizer keeps it";
        let is_gone = |state: &State| match (&state.object, uid) {
            (None, _) => true,
            (Some(object), Some(uid)) => object.uid().as_deref() != Some(uid),
            (Some(_), None) => false,
        };
        self.until(step, hint, is_gone).await
    }

    /// Waits until the cluster fulfils the condition. A failed read is repeated: the steps before may have left the
    /// target without an autoscaler.
    async fn until(
        &self,
        step: &Step,
        hint: &'static str,
        condition: impl Fn(&State) -> bool,
    ) -> Result<Outcome, SwitchError> {
        let end = Instant::now() + STEP_TIMEOUT;
        loop {
            let state = self.read().await;
            let late = Instant::now() >= end;
            match state {
                Ok(state) if condition(&state) => return Ok(Outcome::Done),
                Err(error) if late => return Err(error.into()),
                Ok(_) if late => {
                    return Err(SwitchError::NotYet {
                        step: step.to_string(),
                        hint,
                    });
                }
                Ok(_) | Err(_) => sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// The objects of the source's kind.
    fn objects(&self) -> Api<DynamicObject> {
        let resource = self.wanted.source.kind.resource();
        let Cluster {
            client, namespace, ..
        } = &self.cluster;
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Prints what the PushScaler does not take over.
pub(super) fn print_notes(notes: &[String]) {
    for note in notes {
        eprintln!("note: {note}");
    }
}

fn parse<T: DeserializeOwned>(manifest: &Value) -> Result<T, SwitchError> {
    serde_json::from_value(manifest.clone())
        .map_err(|error| SwitchError::Unreadable(error.to_string()))
}

/// Waits for a write, with a timeout. What is already deleted is not deleted again.
async fn write<T>(
    step: &Step,
    write: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Outcome, SwitchError> {
    let is = |error: &kube::Error, code| matches!(error, kube::Error::Api(status) if status.code == code);
    match timeout(TIMEOUT, write).await {
        Ok(Ok(_)) => Ok(Outcome::Done),
        Ok(Err(error)) if is(&error, CONFLICT) => Ok(Outcome::Changed),
        Ok(Err(error)) if is(&error, NOT_FOUND) && matches!(step, Step::DeleteHpa { .. }) => {
            Ok(Outcome::Done)
        }
        Ok(Err(source)) => Err(SwitchError::Write {
            step: step.to_string(),
            source: Box::new(source),
        }),
        Err(_) => Err(SwitchError::TimedOut {
            step: step.to_string(),
        }),
    }
}
