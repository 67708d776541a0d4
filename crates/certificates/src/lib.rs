//! Issues, renews and publishes the TLS certificates of Pushscale's servers.
//!
//! [`bind`] and [`Bound::run`] run the program. Certificates are issued here and stored in Secrets (`controller`), or
//! another tool renews them and the CA is read from a directory (`directory`). `plan` decides what to issue or renew,
//! and is pure. `publish` copies the CA bundle into every namespace, `ca_bundle` into the injector's webhook
//! configuration and the APIService. `owner` finds the object that owns everything that is written, so that an
//! uninstall removes it.

mod bundle;
mod ca_bundle;
mod certificate;
mod config;
mod controller;
mod directory;
mod issue;
mod metrics;
mod owner;
mod plan;
mod publish;
mod run;
mod secrets;
mod state;
mod write_schedule;

pub use config::{ApiServiceSettings, Config, Lifetimes, PROGRAM, SelfSigned, Source};
pub use run::{Bound, bind};
