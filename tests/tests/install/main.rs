//! Follows docs/INSTALL.md and docs/MIGRATING.md on a real node: every command of both, a load on real injected pods,
//! replicas that follow it, no lost requests, and nothing left behind.

#![cfg(test)]

mod fixture;
mod installing;
mod migrating;
