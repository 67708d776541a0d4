//! Follows docs/INSTALL.md, docs/MIGRATING.md and helm/plain/README.md on a real node: every command of them, a load on
//! real injected pods, replicas that follow it, no lost requests, and nothing left behind.

mod fixture;
mod installing;
mod migrating;
mod plain;
