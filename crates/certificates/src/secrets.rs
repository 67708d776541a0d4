//! The Secrets, read and written. A write is on condition that the Secret is still what was read: of two aggregators
//! one wins, and the other reads what the first has written.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use thiserror::Error;
use tokio::time::timeout;

use crate::kube_error::{TIMED_OUT, message};

/// The label by which all of ours are found.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "pushscale");

/// The field manager (`managedFields`) of every write: the aggregator's, in whose process this runs.
pub(crate) const FIELD_MANAGER: &str = "pushscale-aggregator";

/// The timeout of one request.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a Secret was not read or not written.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    /// Somebody else was faster: read again.
    #[error("write Secret {0}: somebody else changed it meanwhile")]
    Raced(&'static str),
    /// The API server refuses.
    #[error("{verb} Secret {name}: {message}")]
    Refused {
        verb: &'static str,
        name: &'static str,
        message: String,
    },
    /// It does not answer.
    #[error("{verb} Secret {name}: {TIMED_OUT}")]
    Silent {
        verb: &'static str,
        name: &'static str,
    },
}

/// A Secret as read; empty if it is not there.
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
        let verb = "read";
        let secret = match timeout(TIMEOUT, self.0.get_opt(name)).await {
            Ok(Ok(secret)) => secret,
            Ok(Err(error)) => return Err(refused(verb, name, &error)),
            Err(_) => return Err(SecretError::Silent { verb, name }),
        };
        Ok(StoredSecret { name, secret })
    }

    /// Writes these texts over what was read, and the owners.
    pub(crate) async fn write(
        &self,
        kept: StoredSecret,
        kind: &str,
        texts: &[(&str, &str)],
        owners: &[OwnerReference],
    ) -> Result<(), SecretError> {
        let name = kept.name;
        let is_new = kept.secret.is_none();
        let mut secret = kept.secret.unwrap_or_else(|| Secret {
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
        let kept_owners = secret.metadata.owner_references.take().unwrap_or_default();
        secret.metadata.owner_references = Some(with(kept_owners, owners));
        secret.metadata.managed_fields = None;
        let data: BTreeMap<String, ByteString> = texts
            .iter()
            .map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())))
            .collect();
        secret.data = Some(data);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let written = async {
            if is_new {
                self.0.create(&params, &secret).await
            } else {
                self.0.replace(name, &params, &secret).await
            }
        };
        let verb = "write";
        match timeout(TIMEOUT, written).await {
            Ok(Ok(_)) => Ok(()),
            // Changed, made or deleted by somebody else since it was read.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 404 => {
                Err(SecretError::Raced(name))
            }
            Ok(Err(error)) => Err(refused(verb, name, &error)),
            Err(_) => Err(SecretError::Silent { verb, name }),
        }
    }
}

impl StoredSecret {
    /// The text under a key; empty if there is none, or if it is no text.
    pub(crate) fn text(&self, key: &str) -> String {
        let data = self.secret.as_ref().and_then(|secret| secret.data.as_ref());
        let bytes = data.and_then(|data| data.get(key));
        bytes.map_or_else(String::new, |bytes| {
            String::from_utf8_lossy(&bytes.0).into_owned()
        })
    }

    /// Is it there, and without one of these owners?
    pub(crate) fn lacks(&self, owners: &[OwnerReference]) -> bool {
        let Some(secret) = &self.secret else {
            return false;
        };
        let has = secret.metadata.owner_references.as_deref();
        owners
            .iter()
            .any(|owner| !has.unwrap_or_default().contains(owner))
    }
}

/// Other people's owners stay. One of the same name and another uid was replaced, and would take the Secret with it.
fn with(mut owners: Vec<OwnerReference>, ours: &[OwnerReference]) -> Vec<OwnerReference> {
    owners.retain(|held| {
        ours.iter()
            .all(|own| own.name != held.name || own.kind != held.kind)
    });
    owners.extend_from_slice(ours);
    owners
}

fn refused(verb: &'static str, name: &'static str, error: &kube::Error) -> SecretError {
    SecretError::Refused {
        verb,
        name,
        message: message(error),
    }
}
