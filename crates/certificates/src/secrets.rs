//! Reads and writes the Secrets. A write fails if the Secret has changed since it was read, so that of two processes
//! one wins and the other one reads the result.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use pushscale_kubernetes::{CONFLICT, NOT_FOUND, RequestError, request};
use thiserror::Error;

/// The label of everything that is written.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "pushscale");

/// The field manager (`managedFields`) of every write.
pub(crate) const FIELD_MANAGER: &str = "pushscale-certificates";

/// The timeout of one request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a Secret was not read or not written.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    #[error("failed to write Secret {0}: it has changed since it was read")]
    Conflict(&'static str),
    #[error("failed to {verb} Secret {name}")]
    Request {
        verb: &'static str,
        name: &'static str,
        source: RequestError,
    },
}

/// A Secret as read; empty if it does not exist.
#[derive(Clone)]
pub(crate) struct StoredSecret {
    pub(crate) name: &'static str,
    secret: Option<Secret>,
}

/// The Secrets of one namespace.
pub(crate) struct Secrets(Api<Secret>);

impl Secrets {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }

    pub(crate) async fn read(&self, name: &'static str) -> Result<StoredSecret, SecretError> {
        let secret = request(TIMEOUT, self.0.get_opt(name)).await;
        secret
            .map(|secret| StoredSecret { name, secret })
            .map_err(|error| failed("read", name, error))
    }

    /// Replaces the data of a Secret and adds the owners.
    pub(crate) async fn write(
        &self,
        stored: StoredSecret,
        kind: &str,
        data: &[(&str, &str)],
        owners: &[OwnerReference],
    ) -> Result<(), SecretError> {
        let name = stored.name;
        let is_new = stored.secret.is_none();
        let mut secret = stored.secret.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            type_: Some(kind.to_owned()),
            ..Secret::default()
        });
        let (label, value) = MANAGED_BY;
        let labels = secret.metadata.labels.get_or_insert_default();
        labels.insert(label.to_owned(), value.to_owned());
        let existing = secret.metadata.owner_references.take().unwrap_or_default();
        secret.metadata.owner_references = Some(merge(existing, owners));
        secret.metadata.managed_fields = None;
        let data: BTreeMap<String, ByteString> = data
            .iter()
            .map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())))
            .collect();
        secret.data = Some(data);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let write = async {
            if is_new {
                self.0.create(&params, &secret).await
            } else {
                self.0.replace(name, &params, &secret).await
            }
        };
        match request(TIMEOUT, write).await {
            Ok(_) => Ok(()),
            // Changed, created or deleted since it was read.
            Err(error) if matches!(error.code(), Some(CONFLICT | NOT_FOUND)) => {
                Err(SecretError::Conflict(name))
            }
            Err(error) => Err(failed("write", name, error)),
        }
    }
}

impl StoredSecret {
    /// Returns the text of a key; empty if it is absent. Invalid UTF-8 is replaced.
    pub(crate) fn text(&self, key: &str) -> String {
        let data = self.secret.as_ref().and_then(|secret| secret.data.as_ref());
        let bytes = data.and_then(|data| data.get(key));
        bytes.map_or_else(String::new, |bytes| {
            String::from_utf8_lossy(&bytes.0).into_owned()
        })
    }

    /// Whether the Secret exists and lacks one of these owners.
    pub(crate) fn lacks(&self, owners: &[OwnerReference]) -> bool {
        let Some(secret) = &self.secret else {
            return false;
        };
        let existing = secret
            .metadata
            .owner_references
            .as_deref()
            .unwrap_or_default();
        owners.iter().any(|owner| !existing.contains(owner))
    }
}

/// Adds our owners to the existing ones. An owner of the same name with another uid was replaced: if it stayed, the
/// garbage collector would delete the Secret.
fn merge(mut owners: Vec<OwnerReference>, ours: &[OwnerReference]) -> Vec<OwnerReference> {
    owners.retain(|existing| {
        ours.iter()
            .all(|own| own.name != existing.name || own.kind != existing.kind)
    });
    owners.extend_from_slice(ours);
    owners
}

fn failed(verb: &'static str, name: &'static str, source: RequestError) -> SecretError {
    SecretError::Request { verb, name, source }
}
