//! Follows the configuration of the aggregation layer. Its CA rotates, so it is watched.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use pushscale_daemon::error::chain;
use pushscale_daemon::readiness::ReadinessLatch;
use tokio::sync::watch;

use crate::request_header::RequestHeader;

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// The newest valid configuration; `None` before the first one.
pub(crate) type NewestRequestHeader = watch::Receiver<Option<Arc<RequestHeader>>>;

/// Keeps `newest` up to date, and drops `latch` with the first valid configuration. Never returns. An invalid
/// configuration is logged, and the previous one is kept.
pub(crate) async fn follow(
    client: Client,
    newest: watch::Sender<Option<Arc<RequestHeader>>>,
    latch: ReadinessLatch,
) {
    let mut latch = Some(latch);
    let api: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
    let mut stream = pin!(watch_object(api, CONFIG_MAP).default_backoff());
    let mut last = None;
    while let Some(next) = stream.next().await {
        let data = match next {
            Ok(found) => found.and_then(|found| found.data).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(configmap = CONFIG_MAP, error = %chain(&error), "watch failed, retrying");
                continue;
            }
        };
        if last.as_ref() == Some(&data) {
            continue;
        }
        match RequestHeader::parse(&data) {
            Ok(config) => {
                tracing::info!(
                    configmap = CONFIG_MAP,
                    "request-header authentication loaded"
                );
                newest.send_replace(Some(Arc::new(config)));
                latch.take();
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(configmap = CONFIG_MAP, %error, "keeping the previous authentication: new one rejected");
            }
        }
        last = Some(data);
    }
}
