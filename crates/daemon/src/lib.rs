//! Functions that all long-running programs share.
//!
//! The crate does not hide hyper, prometheus-client and tracing: their types are part of its API.

pub mod admin;
pub mod backoff;
pub mod body;
pub mod body_budget;
pub mod config;
pub mod error;
pub mod exit;
pub mod fair_semaphore;
pub mod heartbeat;
pub mod http_server;
pub mod labeled_counter;
pub mod log_limiter;
pub mod logging;
pub mod open_files;
pub mod process_metrics;
pub mod readiness;
pub mod registration;
pub mod reply;
pub mod shutdown;
pub mod tasks;
pub mod tls;
