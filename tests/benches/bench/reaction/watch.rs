//! The changes of a Deployment and its pods, with their times.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use pushscale_tests::test_cluster::TestCluster;

/// An event of a watch, and its time in Unix seconds.
pub(super) enum WatchEvent {
    Replicas { at: f64, count: i32 },
    Ready { at: f64 },
}

/// Watches from within the cluster's network, on a thread that stays there until the process ends.
pub(super) fn watch(cluster: &TestCluster, namespace: &str, seen_tx: mpsc::Sender<WatchEvent>) {
    let cluster = TestCluster::attach(cluster.name()).unwrap();
    let namespace = namespace.to_owned();
    thread::spawn(move || {
        cluster.enter().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let kubeconfig = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
            let options = kube::config::KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
            let client = Client::try_from(config.await.unwrap()).unwrap();
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let mut deployments =
                Box::pin(watcher(deployments, watcher::Config::default()).applied_objects());
            let mut pods = Box::pin(watcher(pods, watcher::Config::default()).applied_objects());
            let mut ready = BTreeSet::new();
            loop {
                let seen = tokio::select! {
                    Some(Ok(deployment)) = deployments.next() => {
                        let count =
                            deployment.spec.replicas.unwrap_or(1);
                        WatchEvent::Replicas { at: now(), count }
                    }
                    Some(Ok(pod)) = pods.next() => {
                        if !is_ready(&pod) || !ready.insert(pod.metadata.uid.clone()) {
                            continue;
                        }
                        WatchEvent::Ready { at: now() }
                    }
                    else => return,
                };
                if seen_tx.send(seen).is_err() {
                    return;
                }
            }
        });
    });
    // The first list arrives before the load starts.
    thread::sleep(Duration::from_secs(1));
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Returns the Unix times, in seconds, at which the steps of a load began.
pub(super) fn unix_times(mark: &Path) -> Vec<f64> {
    let text = fs::read_to_string(mark).unwrap();
    text.lines()
        .map(|line| {
            line.split_whitespace()
                .next_back()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}
