//! From the sidecar to the aggregator over real sockets on loopback, with emulated servers and recorded replica counts.
//! Runs everywhere.

#![cfg(test)]

mod admission;
mod aggregator_replicas;
mod bad_pushes;
mod bad_servers;
mod draining;
mod models;
mod pacing;
mod replay;
mod shutdown;
mod single_pod;
mod support;
mod tls;
mod token;
