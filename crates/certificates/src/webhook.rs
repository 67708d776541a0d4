//! The API server trusts the injector by the `caBundle` of its webhook configuration.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::Newest;
use crate::kube_error::{TIMED_OUT, message};
use crate::metrics::{CertificateMetrics, Failure};
use crate::secrets::{FIELD_MANAGER, TIMEOUT};

/// Between two writes, unless there is a new CA: whoever sets it back is not fought as fast as both can write.
const BETWEEN_WRITES: Duration = Duration::from_secs(10);

/// Keeps the `caBundle` of all webhooks of this configuration, for ever. If it is not there, it is waited for.
pub(crate) async fn run(
    client: Client,
    name: String,
    mut issued: Newest,
    metrics: CertificateMetrics,
) {
    let api: Api<MutatingWebhookConfiguration> = Api::all(client);
    let mut stream = pin!(watch_object(api.clone(), &name).default_backoff());
    let mut held = None;
    let mut next_write = Instant::now();
    loop {
        let bundle = issued.borrow_and_update().clone();
        let patch = match (&held, &bundle) {
            (Some(held), Some(bundle)) => changes(held, &bundle.ca_bundle_pem),
            _ => Vec::new(),
        };
        let wrong = !patch.is_empty();
        if wrong && next_write <= Instant::now() {
            next_write = Instant::now() + BETWEEN_WRITES;
            match write(&api, &name, patch).await {
                Ok(written) => {
                    tracing::info!(webhook = %name, "the webhook's caBundle is set");
                    held = Some(written);
                }
                Err(error) => {
                    metrics.failed(Failure::Webhook);
                    tracing::warn!(webhook = %name, error, "the webhook's caBundle was not set, trying again");
                }
            }
            continue;
        }
        tokio::select! {
            Some(next) = stream.next() => match next {
                Ok(found) => held = found,
                Err(error) => tracing::warn!(webhook = %name, %error, "the watch of the webhook failed, trying again"),
            },
            // A new CA waits for nothing.
            Ok(()) = issued.changed() => next_write = Instant::now(),
            () = tokio::time::sleep_until(next_write), if wrong => {}
        }
    }
}

/// A JSON patch that changes nothing but `caBundle`. The names are tested, since the list may have moved.
fn changes(held: &MutatingWebhookConfiguration, bundle: &str) -> Vec<Value> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let mut patch = Vec::new();
    for (index, webhook) in held.webhooks.iter().flatten().enumerate() {
        if webhook.client_config.ca_bundle.as_ref() == Some(&wanted) {
            continue;
        }
        let path = format!("/webhooks/{index}");
        patch.extend([
            json!({ "op": "test", "path": format!("{path}/name"), "value": webhook.name }),
            json!({ "op": "add", "path": format!("{path}/clientConfig/caBundle"), "value": wanted }),
        ]);
    }
    patch
}

async fn write(
    api: &Api<MutatingWebhookConfiguration>,
    name: &str,
    patch: Vec<Value>,
) -> Result<MutatingWebhookConfiguration, String> {
    let patch = serde_json::from_value(Value::Array(patch)).map_err(|error| error.to_string())?;
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::<()>::Json(patch);
    match timeout(TIMEOUT, api.patch(name, &params, &patch)).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(error)) => Err(message(&error)),
        Err(_) => Err(TIMED_OUT.to_owned()),
    }
}
