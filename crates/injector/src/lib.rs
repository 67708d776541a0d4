//! A pod in, the pod with the sidecar out ([`inject`]); and the webhook that does it, which never keeps a pod from
//! being made.

mod admission;
mod admit;
mod annotation;
mod change;
mod config;
mod container;
mod facts;
mod inject;
mod metrics;
mod native;
mod review;
mod run;
mod skip;
mod tell;
mod token_file;
mod torchserve;

pub use admission::PATH;
pub use admit::{Admitted, Count, Malformed, Telling, admit};
pub use annotation::check_image;
pub use change::{Change, Step, apply};
pub use config::{Config, PREFIX, check_aggregator};
pub use facts::{Facts, PullPolicy, Sidecar, Trust};
pub use inject::{Injection, Note, Outcome, VERSION, inject, inject_value};
pub use run::{Bound, RunError, bind};
pub use skip::Skip;
