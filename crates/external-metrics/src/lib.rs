//! Serves `external.metrics.k8s.io` and KEDA's external scaler from the aggregator's state.
//!
//! The control loop writes its decisions to the [`Store`]; [`start`] serves them to HPAs, and [`serve_keda`] to KEDA.
//! `server` routes requests, `request_header` and `access` authenticate and authorize them, `metric` computes values,
//! and `documents` has the discovery of the API.

mod access;
mod authentication;
mod documents;
mod keda;
mod metric;
mod quantity;
mod request_header;
mod server;
mod start;
mod status;
mod store;

pub use keda::serve as serve_keda;
pub use start::{Endpoint, start};
pub use store::{Sample, Scaler, Store};
