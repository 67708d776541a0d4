//! A client of the API server, for threads that wait for its responses.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{ApiGroup, Discovery, Scope, oneshot, verbs};
use kube::{Api, ResourceExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::network;

/// The kinds that tests read and write.
const KINDS: [&str; 20] = [
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration",
    "apiregistration.k8s.io/v1/APIService",
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "coordination.k8s.io/v1/Lease",
    "events.k8s.io/v1/Event",
    "example.dev/v1/ModelFleet",
    "keda.sh/v1alpha1/ScaledObject",
    "pushscale.dev/v1alpha1/PushScaler",
    "pushscale.dev/v1alpha1/PushScalerCheckpoint",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "serving.kserve.io/v1beta1/InferenceService",
    "v1/ConfigMap",
    "v1/Namespace",
    "v1/Node",
    "v1/Pod",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
];

/// A thread with a connection to the API server, as the administrator. It ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Client(UnboundedSender<Job>);

type Job = Box<dyn FnOnce(kube::Client) -> LocalBoxFuture<'static, ()> + Send>;

impl Client {
    /// Starts the thread, in this network namespace. A response is late after the time limit: a paused API server
    /// accepts requests and is silent.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or the namespace is gone.
    pub(super) fn start(
        kubeconfig: PathBuf,
        network: Option<PathBuf>,
        limit: Duration,
    ) -> Result<Self, String> {
        let (jobs, received) = unbounded_channel();
        let (result, connected) = mpsc::channel();
        thread::spawn(
            move || match connect(&kubeconfig, network.as_deref(), limit) {
                Ok((runtime, client)) => {
                    result.send(Ok(())).ok();
                    LocalSet::new().block_on(&runtime, serve(client, received));
                }
                Err(error) => result.send(Err(error.to_string())).unwrap_or_default(),
            },
        );
        connected.recv().map_err(|closed| closed.to_string())??;
        Ok(Self(jobs))
    }

    /// Waits for the response to a request.
    ///
    /// # Errors
    /// The API server did not respond, or responded with an error, which names the object.
    pub(super) fn request<T: Send + 'static>(
        &self,
        request: impl AsyncFn(kube::Client) -> kube::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (response, received) = mpsc::channel();
        let job: Job = Box::new(move |client| {
            let result =
                async move { until_accepted(async || request(client.clone()).await).await };
            result
                .map(move |result| response.send(result).unwrap_or_default())
                .boxed_local()
        });
        self.0.send(job).map_err(|closed| closed.to_string())?;
        let result = received.recv().map_err(|closed| closed.to_string())?;
        result.map_err(|error| error.to_string())
    }

    /// The same for objects of a namespace, or those without one if it is empty.
    pub(super) fn objects<T: Send + 'static>(
        &self,
        namespace: &str,
        kind: &str,
        request: impl AsyncFn(Api<DynamicObject>) -> kube::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (namespace, resource) = (namespace.to_owned(), resource(kind)?);
        self.request(async move |client| {
            let objects = if namespace.is_empty() {
                Api::all_with(client, &resource)
            } else {
                Api::namespaced_with(client, &namespace, &resource)
            };
            request(objects).await
        })
    }
}

/// Repeats a request that is rejected for now, as kubectl does: a list just after a CRD has changed, for example.
async fn until_accepted<T>(request: impl AsyncFn() -> kube::Result<T>) -> kube::Result<T> {
    for _ in 0..10 {
        match request().await {
            Err(kube::Error::Api(status)) if status.code == 429 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => return other,
        }
    }
    request().await
}

/// Returns the resource of a kind, by its name for kubectl.
fn resource(kind: &str) -> Result<ApiResource, String> {
    let name = if kind == "hpa" {
        "horizontalpodautoscaler"
    } else {
        kind
    };
    let mut parts = KINDS.iter().filter_map(|known| known.rsplit_once('/'));
    let (version, kind) = parts
        .find(|(_, kind)| kind.eq_ignore_ascii_case(name))
        .ok_or_else(|| format!("the kind {kind} is unknown; add it to KINDS"))?;
    Ok(ApiResource::from_gvk(&kind_of(version, kind)))
}

fn kind_of(api_version: &str, kind: &str) -> GroupVersionKind {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    GroupVersionKind::gvk(group, version, kind)
}

/// Returns all objects with the names of their resources, as `kubectl api-resources` prints them, except those of some.
pub(super) async fn all_objects(
    client: kube::Client,
    except: &[&str],
) -> kube::Result<Vec<(String, DynamicObject)>> {
    let discovery = Discovery::new(client.clone()).run().await?;
    let resources = discovery.groups().flat_map(ApiGroup::recommended_resources);
    let mut found = Vec::new();
    for (resource, capabilities) in resources {
        let name = match resource.group.as_str() {
            "" => resource.plural.clone(),
            group => format!("{}.{group}", resource.plural),
        };
        if except.contains(&name.as_str()) || !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let objects = all.list(&ListParams::default()).await?;
        found.extend(objects.into_iter().map(|object| (name.clone(), object)));
    }
    Ok(found)
}

/// Applies an object. Its namespace is `default` if it has none, as for kubectl.
pub(super) async fn apply(
    client: kube::Client,
    object: &DynamicObject,
    parameters: &PatchParams,
) -> kube::Result<()> {
    let types = object.types.clone().unwrap_or_default();
    let kind = kind_of(&types.api_version, &types.kind);
    let (resource, capabilities) = oneshot::pinned_kind(&client, &kind).await?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    let objects: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client, &resource),
        Scope::Namespaced => Api::namespaced_with(client, namespace, &resource),
    };
    let name = object.name_any();
    let patch = Patch::Apply(object);
    objects.patch(&name, parameters, &patch).await.map(drop)
}

fn connect(
    kubeconfig: &Path,
    network: Option<&Path>,
    limit: Duration,
) -> Result<(Runtime, kube::Client), Box<dyn Error>> {
    if let Some(network) = network {
        network::enter(network)?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let client = runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.read_timeout = Some(limit);
        // kubectl, too, reports an API that is not available at once.
        config.default_retry = false;
        Ok::<_, Box<dyn Error>>(kube::Client::try_from(config)?)
    })?;
    Ok((runtime, client))
}

async fn serve(client: kube::Client, mut jobs: UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        // Several tests wait at the same time.
        spawn_local(job(client.clone()));
    }
}
