//! Adds the sidecar to pods: the pure function [`inject_value`], and the admission webhook that calls it.
//!
//! The webhook always allows a pod. A pod that cannot get the sidecar is left unchanged, apart from an annotation that
//! says why.

mod admit;
mod annotation;
mod change;
mod config;
mod container;
mod events;
mod facts;
mod inject;
mod json;
mod metrics;
mod native_sidecar;
mod pod;
mod review;
mod run;
mod server;
mod skip;
mod token_file;
mod torchserve;

pub use admit::{Admitted, InvalidReview, OwnerEvent, admit};
pub use annotation::check_image;
pub use change::{Change, Step, apply};
pub use config::{Config, PROGRAM, check_aggregator};
pub use facts::{Auth, Facts, PullPolicy, Sidecar};
pub use inject::{Injection, Note, Outcome, VERSION, inject_value};
pub use run::{Bound, bind};
pub use server::PATH;
pub use skip::Skip;
pub use torchserve::{ChosenBy, ChosenContainer, looks_like_torchserve};
