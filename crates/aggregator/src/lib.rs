//! Receives readings, decides, explains, and writes the replica count.

mod certificates;
mod check;
mod config;
mod control_loop;
mod deletion_cost;
mod event;
mod gate;
mod ingest;
mod kube_report;
mod kube_scale;
mod metrics;
mod names;
mod neutral;
mod pages;
mod report;
mod run;
mod scale_target;
mod status;
mod status_page;
mod view;
mod watch;

pub use certificates::{CertificateSettings, Lifetimes, SelfSigned, Source};
pub use check::{CheckError, check};
pub use config::{Auth, Config, PREFIX};
pub use event::{Event, Pushed, Rival, ScalerFacts, Standing, Untimed, Verdict, WatchId};
pub use gate::{ClusterReviews, ReviewError, Reviewed, TokenReviewer};
pub use kube_scale::ClusterScales;
pub use names::{ScalerKey, TargetRef};
pub use report::Report;
pub use run::{Bound, RunError, Trust, World, bind};
pub use scale_target::{Cost, Marked, Pending, PodName, Scale, ScaleError, ScaleTarget, Written};
pub use view::{DecisionView, FigureView, Point, ScalerView, Told};
