//! Receives readings, decides on replica counts, writes them and explains them.

mod auth;
mod check;
mod checkpoint;
mod config;
mod control_loop;
mod convert;
mod deletion_cost;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod ingest;
mod kube_report;
mod kube_scale;
mod leadership;
mod metrics;
mod names;
mod pacing;
mod pages;
#[doc(hidden)]
pub mod recorded_page;
mod report;
mod run;
mod scale_change;
mod scale_target;
mod status;
mod status_page;
mod take_over;
mod view;
mod watch;
mod write_queue;
mod writers;

pub use auth::{KubeTokenReviewer, PodIdentity, ReviewError, TokenReviewer};
pub use check::{CheckError, check};
pub use config::{Auth, Config, ExternalMetricsSettings, PROGRAM};
pub use control_loop::RecordedSegments;
pub use event::{
    CompetingHpa, DeletionFacts, Event, Pushed, ReceivedReading, Restore, ScalerDeletion,
    ScalerFacts, Verdict, WatchId,
};
pub use kube_scale::KubeScaleTarget;
pub use leadership::LeaseSettings;
pub use names::{ScalerKey, TargetRef};
pub use report::{CheckpointReport, EventReport, Report, StatusReport};
pub use run::{Backend, Bound, PushSecurity, bind};
pub use scale_target::{CostOwner, MarkResult, PodRef, Scale, ScaleError, ScaleTarget, Written};
pub use view::{DecisionView, FigureView, ScalerView};
