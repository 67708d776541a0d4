//! Watches of the cluster, which send events to the control loop.

mod hpas;
mod pods;
mod scalers;
mod targets;

use kube::Client;
use pushscale_daemon::tasks::Tasks;
use tokio::sync::mpsc;

use crate::event::Event;

/// Starts all watches.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    namespace: Option<&str>,
    events: &mpsc::Sender<Event>,
) {
    tasks.spawn_endless(
        "PushScaler watch",
        scalers::watch(client.clone(), namespace.map(str::to_owned), events.clone()),
    );
    tasks.spawn_endless(
        "HorizontalPodAutoscaler watch",
        hpas::watch(client.clone(), namespace.map(str::to_owned), events.clone()),
    );
}

/// Sends an event. If the control loop has exited, waits for the process to exit.
async fn send(events: &mpsc::Sender<Event>, event: Event) {
    if events.send(event).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> kube::Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => kube::Api::namespaced(client.clone(), namespace),
        None => kube::Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests;
