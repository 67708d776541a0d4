//! The connection of a command to the cluster: kubeconfig, namespace, and the aggregator behind the API server.

mod aggregator;
mod client;
mod error;

pub(crate) use aggregator::{
    Connection, find_aggregators, holder, is_aggregator, is_ready, lease_of,
};
pub use client::ClusterOptions;
pub(crate) use client::{Cluster, TIMEOUT, request};
pub use error::ClusterError;
