//! What the aggregator sees of the cluster: every watch ends in events for the control loop.

mod pods;
mod rivals;
mod scalers;
mod target;

use kube::Client;
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::tasks::Tasks;
use tokio::sync::mpsc;

use crate::event::Event;

/// Starts all watches. `listed` is given back once the PushScalers are known.
pub(crate) fn start(
    tasks: &mut Tasks,
    client: &Client,
    namespace: Option<&str>,
    events: &mpsc::Sender<Event>,
    listed: ReadinessLatch,
) {
    tasks.spawn(
        "the watch of PushScalers",
        scalers::watch(
            client.clone(),
            namespace.map(str::to_owned),
            events.clone(),
            listed,
        ),
    );
    tasks.spawn(
        "the watch of HorizontalPodAutoscalers",
        rivals::watch(client.clone(), namespace.map(str::to_owned), events.clone()),
    );
}

/// Sends an event. Fails only when the loop is gone, and then the whole process is about to end.
async fn tell(events: &mpsc::Sender<Event>, event: Event) {
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
