//! A client of the API server, from the options of a command.

use std::time::Duration;

use clap::Args;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use pushscale_api::PushScaler;

use super::error::ClusterError;

/// Timeout for connecting to the API server, and for its response.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Which cluster and which namespace, like kubectl.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct ClusterOptions {
    /// Context of the kubeconfig; default: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace; default: that of the context
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Namespace of the aggregator; default: it is searched for in all namespaces
    #[arg(long, value_name = "NAME")]
    pushscale_namespace: Option<String>,
}

/// A client of the API server, with the namespace of the command.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The aggregator's namespace, if the user names it.
    pub(crate) pushscale_namespace: Option<String>,
}

impl ClusterOptions {
    /// Returns whether no option was given.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Connects with the kubeconfig (`KUBECONFIG`, `~/.kube/config`), or with the pod's service account.
    pub(crate) async fn connect(&self) -> Result<Cluster, ClusterError> {
        let mut config = match &self.context {
            None => Config::infer()
                .await
                .map_err(|error| ClusterError::config(&error))?,
            Some(context) => {
                let options = KubeConfigOptions {
                    context: Some(context.clone()),
                    ..KubeConfigOptions::default()
                };
                Config::from_kubeconfig(&options)
                    .await
                    .map_err(|error| ClusterError::config(&error))?
            }
        };
        config.connect_timeout = Some(TIMEOUT);
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => config.default_namespace.clone(),
        };
        let client = pushscale_kubernetes::client_with(config)
            .map_err(|error| ClusterError::config(&error))?;
        Ok(Cluster {
            client,
            namespace,
            pushscale_namespace: self.pushscale_namespace.clone(),
        })
    }
}

impl Cluster {
    /// Returns a PushScaler of the namespace.
    pub(crate) async fn scaler(&self, name: &str) -> Result<PushScaler, ClusterError> {
        let what = format!("PushScaler {}/{name}", self.namespace);
        request(&what, self.scalers(false).get(name)).await
    }

    /// Returns the PushScalers of the namespace, or of all namespaces.
    pub(crate) fn scalers(&self, all_namespaces: bool) -> Api<PushScaler> {
        if all_namespaces {
            Api::all(self.client.clone())
        } else {
            Api::namespaced(self.client.clone(), &self.namespace)
        }
    }
}

/// Waits for a request, with a timeout. `what` is the object for the error message.
pub(crate) async fn request<T>(
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(TIMEOUT, request).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(source)) => Err(ClusterError::request(what, source)),
        Err(_) => Err(ClusterError::TimedOut {
            what: what.to_owned(),
        }),
    }
}
