//! A client of the API server for what tests read in loops: a run of kubectl takes about 0.1 s of CPU, and a request a
//! few milliseconds.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::network;

/// The time after which a response is late, as for kubectl: a paused API server accepts requests and is silent.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// The kinds that tests read: the name for kubectl, group, version, kind and plural.
const KINDS: [[&str; 5]; 9] = [
    ["deployment", "apps", "v1", "Deployment", "deployments"],
    [
        "hpa",
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ],
    [
        "inferenceservice",
        "serving.kserve.io",
        "v1beta1",
        "InferenceService",
        "inferenceservices",
    ],
    [
        "modelfleet",
        "example.dev",
        "v1",
        "ModelFleet",
        "modelfleets",
    ],
    ["pod", "", "v1", "Pod", "pods"],
    [
        "pushscaler",
        "pushscale.dev",
        "v1alpha1",
        "PushScaler",
        "pushscalers",
    ],
    [
        "pushscalercheckpoint",
        "pushscale.dev",
        "v1alpha1",
        "PushScalerCheckpoint",
        "pushscalercheckpoints",
    ],
    [
        "scaledobject",
        "keda.sh",
        "v1alpha1",
        "ScaledObject",
        "scaledobjects",
    ],
    ["statefulset", "apps", "v1", "StatefulSet", "statefulsets"],
];

/// A thread with a connection to the API server, as the administrator. It ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Client(UnboundedSender<Job>);

type Job = Box<dyn FnOnce(kube::Client) -> BoxFuture<'static, ()> + Send>;

impl Client {
    /// Starts the thread, in this network namespace.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or the namespace is gone.
    pub(super) fn start(kubeconfig: PathBuf, network: Option<PathBuf>) -> Result<Self, String> {
        let (jobs, received) = unbounded_channel();
        let (result, connected) = mpsc::channel();
        thread::spawn(move || match connect(&kubeconfig, network.as_deref()) {
            Ok((runtime, client)) => {
                result.send(Ok(())).ok();
                runtime.block_on(serve(client, received));
            }
            Err(error) => result.send(Err(error.to_string())).unwrap_or_default(),
        });
        connected.recv().map_err(|closed| closed.to_string())??;
        Ok(Self(jobs))
    }

    /// Waits for the response to a request for objects of a namespace.
    ///
    /// # Errors
    /// The API server did not respond, or responded with an error, which names the object.
    pub(super) fn run<T, F>(
        &self,
        namespace: &str,
        kind: &str,
        request: impl FnOnce(Api<DynamicObject>) -> F + Send + 'static,
    ) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = kube::Result<T>> + Send + 'static,
    {
        let (namespace, resource) = (namespace.to_owned(), resource(kind)?);
        let (response, received) = mpsc::channel();
        let job: Job = Box::new(move |client| {
            let objects = Api::namespaced_with(client, &namespace, &resource);
            request(objects)
                .map(move |result| response.send(result).unwrap_or_default())
                .boxed()
        });
        self.0.send(job).map_err(|closed| closed.to_string())?;
        let result = received.recv().map_err(|closed| closed.to_string())?;
        result.map_err(|error| error.to_string())
    }
}

/// Returns the resource of a kind, by its name for kubectl.
fn resource(kind: &str) -> Result<ApiResource, String> {
    let found = KINDS.iter().find(|[name, ..]| *name == kind);
    let [_, group, version, kind, plural] =
        found.ok_or_else(|| format!("the kind {kind} is unknown; add it to KINDS"))?;
    let kind = GroupVersionKind::gvk(group, version, kind);
    Ok(ApiResource::from_gvk_with_plural(&kind, plural))
}

fn connect(
    kubeconfig: &Path,
    network: Option<&Path>,
) -> Result<(Runtime, kube::Client), Box<dyn Error>> {
    if let Some(network) = network {
        network::enter(network)?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let client = runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.read_timeout = Some(READ_TIMEOUT);
        Ok::<_, Box<dyn Error>>(kube::Client::try_from(config)?)
    })?;
    Ok((runtime, client))
}

async fn serve(client: kube::Client, mut jobs: UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        // Several tests wait at the same time.
        tokio::spawn(job(client.clone()));
    }
}
