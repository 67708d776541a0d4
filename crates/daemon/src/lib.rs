//! What each long-running program needs, and nothing that only one of them needs.
//!
//! A convenience, not a layer: hyper, prometheus-client and tracing show through on purpose.

pub mod admin;
pub mod body;
pub mod config;
pub mod error;
pub mod exit;
pub mod http_server;
pub mod labeled_counter;
pub mod logging;
pub mod readiness;
pub mod reply;
pub mod shutdown;
pub mod tasks;
pub mod tls;
