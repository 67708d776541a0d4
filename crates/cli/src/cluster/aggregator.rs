//! The admin port of the leading aggregator, through the API server's port-forward or at an address.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use pushscale_aggregator::ScalerView;
use pushscale_protocol::AGGREGATOR_ADMIN_PORT;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::client::{Cluster, request};
use super::error::ClusterError;

/// Timeout for connecting to the aggregator and reading one page.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum bytes of a page: the recording of one scaler has at most 4 MiB in memory, and several times that as JSON.
const MAX_PAGE_BYTES: usize = 128 << 20;

/// The label that the chart and the manifest give the aggregator's pods. Its value is also the name of the Lease.
const NAME_LABEL: &str = "app.kubernetes.io/name";

/// The selectors of the aggregator's pods: that of the chart, and that of `helm/plain`.
const SELECTORS: [&str; 2] = [
    "app.kubernetes.io/part-of=pushscale",
    "app.kubernetes.io/name=pushscale-aggregator",
];

/// The aggregator's pods and their Lease.
pub(crate) struct AggregatorPods {
    pub(crate) pods: Vec<Pod>,
    /// `None` if there is no Lease.
    pub(crate) lease: Result<Option<Lease>, ClusterError>,
}

/// Finds the pods of the aggregator, and their Lease.
pub(crate) async fn find_aggregators(cluster: &Cluster) -> Result<AggregatorPods, ClusterError> {
    let api: Api<Pod> = match &cluster.pushscale_namespace {
        Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
        None => Api::all(cluster.client.clone()),
    };
    let mut pods = Vec::new();
    for selector in SELECTORS {
        let parameters = ListParams::default().labels(selector);
        let list = request("the aggregator's pods", api.list(&parameters)).await?;
        pods = list.items;
        pods.retain(is_aggregator);
        if !pods.is_empty() {
            break;
        }
    }
    let lease = match pods.first() {
        Some(pod) => lease_of(&cluster.client, pod).await,
        None => Ok(None),
    };
    Ok(AggregatorPods { pods, lease })
}

/// Returns the Lease of the pod's aggregators; `None` if it does not exist.
pub(crate) async fn lease_of(client: &Client, pod: &Pod) -> Result<Option<Lease>, ClusterError> {
    let (Some(namespace), Some(name)) = (&pod.metadata.namespace, lease_name(pod)) else {
        return Ok(None);
    };
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    request("the aggregator's Lease", api.get_opt(&name)).await
}

/// Returns the name of the Lease: the setting of the container, or the chart's default.
fn lease_name(pod: &Pod) -> Option<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    let set = variables.find(|variable| variable.name == "PUSHSCALE_AGGREGATOR_LEASE");
    set.and_then(|variable| variable.value.clone())
        .or_else(|| name_label(pod).map(ToOwned::to_owned))
}

/// Whether a pod is an aggregator, by the labels of the chart, whose names begin as the user wants, or of `helm/plain`.
/// A pod that has ended, such as an evicted one, is none: Kubernetes keeps it for a while.
pub(crate) fn is_aggregator(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Failed" | "Succeeded")) {
        return false;
    }
    let name = name_label(pod).unwrap_or_default();
    let is_part = label(pod, "app.kubernetes.io/part-of") == Some("pushscale");
    name == "pushscale-aggregator" || (is_part && name.ends_with("-aggregator"))
}

fn name_label(pod: &Pod) -> Option<&str> {
    label(pod, NAME_LABEL)
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    let labels = pod.metadata.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

impl AggregatorPods {
    /// Returns the pod that holds the Lease, or without a Lease any ready one.
    pub(crate) fn leader(&self) -> Option<&Pod> {
        let lease = self.lease.as_ref().ok().and_then(Option::as_ref);
        let holder = lease.and_then(holder);
        let is_holder = |pod: &&Pod| holder.is_some() && pod.metadata.name.as_deref() == holder;
        let held = self.pods.iter().find(is_holder);
        held.or_else(|| self.pods.iter().find(|pod| is_ready(pod)))
    }
}

/// Returns the name of the pod that holds the Lease. The identity is the pod's name and a number.
pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    let identity = lease.spec.as_ref()?.holder_identity.as_deref()?;
    let (pod, _) = identity.rsplit_once('_')?;
    Some(pod)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How to reach an aggregator's admin port.
pub(crate) enum Connection {
    /// HOST:PORT.
    Address(String),
    /// A pod, through the API server.
    Pod {
        pods: Box<Api<Pod>>,
        name: String,
        port: u16,
    },
}

impl Connection {
    /// Parses an address, such as `http://127.0.0.1:8491`.
    pub(crate) fn to_address(address: &str) -> Self {
        let address = address.strip_prefix("http://").unwrap_or(address);
        Self::Address(address.trim_end_matches('/').to_owned())
    }

    /// Returns the connection to the address, or without one to the leader.
    pub(crate) async fn open(
        cluster: &Cluster,
        address: Option<&str>,
    ) -> Result<Self, ClusterError> {
        match address {
            Some(address) => Ok(Self::to_address(address)),
            None => Self::to_leader(cluster).await,
        }
    }

    /// Returns the connection to the leader, through the API server.
    pub(crate) async fn to_leader(cluster: &Cluster) -> Result<Self, ClusterError> {
        let found = find_aggregators(cluster).await?;
        let leader = found.leader().and_then(|pod| {
            let namespace = pod.metadata.namespace.as_deref()?;
            Some(Self::Pod {
                pods: Box::new(Api::namespaced(cluster.client.clone(), namespace)),
                name: pod.metadata.name.clone()?,
                port: admin_port(pod),
            })
        });
        leader.ok_or_else(|| ClusterError::NoAggregator {
            scope: match &cluster.pushscale_namespace {
                Some(namespace) => format!("in namespace {namespace}"),
                None => "in any namespace".to_owned(),
            },
        })
    }

    /// Returns the pod's name, or the address.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Address(name) | Self::Pod { name, .. } => name,
        }
    }

    /// Returns the aggregator's state of a PushScaler.
    pub(crate) async fn scaler(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<ScalerView, ClusterError> {
        let page = self.scaler_page(namespace, name, "").await?;
        serde_json::from_slice(&page).map_err(|error| ClusterError::Aggregator {
            aggregator: self.name().to_owned(),
            path: format!("/debug/scalers/{namespace}/{name}"),
            problem: error.to_string(),
        })
    }

    /// Returns a page of a PushScaler, such as `/load.csv`.
    pub(crate) async fn scaler_page(
        &self,
        namespace: &str,
        name: &str,
        page: &str,
    ) -> Result<Bytes, ClusterError> {
        let path = format!("/debug/scalers/{namespace}/{name}{page}");
        self.get(&path).await?.ok_or_else(|| ClusterError::Aggregator {
            aggregator: self.name().to_owned(),
            path,
            problem: format!(
                "it does not know PushScaler {namespace}/{name}, or it is older than this program ({})",
                env!("CARGO_PKG_VERSION")
            ),
        })
    }

    /// Returns a page of the admin port; `None` if there is no such page.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, ClusterError> {
        let problem = match tokio::time::timeout(TIMEOUT, self.fetch(path)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(problem)) => problem,
            Err(_) => "no response within 20 s".to_owned(),
        };
        Err(ClusterError::Aggregator {
            aggregator: self.name().to_owned(),
            path: path.to_owned(),
            problem,
        })
    }

    async fn fetch(&self, path: &str) -> Result<Option<Bytes>, String> {
        match self {
            Self::Address(address) => {
                let stream = TcpStream::connect(address).await;
                let stream = stream.map_err(|error| error.to_string())?;
                fetch_over(stream, path).await
            }
            Self::Pod { pods, name, port } => {
                let forwarder = pods.portforward(name, &[*port]).await;
                let mut forwarder = forwarder.map_err(|error| {
                    format!("port-forward failed, which needs the permission to create pods/portforward: {error}")
                })?;
                let stream = forwarder
                    .take_stream(*port)
                    .ok_or("port-forward has no stream")?;
                fetch_over(stream, path).await
            }
        }
    }
}

/// Returns the port that the container calls `admin`.
fn admin_port(pod: &Pod) -> u16 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .find(|port| port.name.as_deref() == Some("admin"))
        .and_then(|port| u16::try_from(port.container_port).ok())
        .unwrap_or(AGGREGATOR_ADMIN_PORT)
}

async fn fetch_over<S>(stream: S, path: &str) -> Result<Option<Bytes>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header("Host", "pushscale")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    // The connection makes progress only while it is polled; an error of it is that of the response.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PAGE_BYTES);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    driver.abort();
    match status.as_u16() {
        200 => Ok(Some(body.to_bytes())),
        404 => Ok(None),
        _ => Err(format!("status {status}")),
    }
}
