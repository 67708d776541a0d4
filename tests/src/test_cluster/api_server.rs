//! Objects of a cluster, read and written as the administrator.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use hyper::http;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Error, ResourceExt as _};
use serde_json::{Value, json};

use super::client::{self, Client};
use super::error::ClusterError;

/// The field manager of kubectl.
const FIELD_MANAGER: &str = "kubectl";

/// The API server of a test cluster. A test may call it in a loop: a request takes a few milliseconds of CPU, and a run
/// of kubectl about 0.1 s.
#[derive(Debug)]
pub struct ApiServer {
    cluster: String,
    kubeconfig: PathBuf,
    network: Option<PathBuf>,
    limit: Duration,
    client: OnceLock<Client>,
}

impl ApiServer {
    /// Describes the API server of the cluster of this name, in a network namespace or in that of this process.
    /// A response is late after the time limit.
    pub(super) fn new(
        cluster: &str,
        kubeconfig: PathBuf,
        network: Option<PathBuf>,
        limit: Duration,
    ) -> Self {
        Self {
            cluster: cluster.to_owned(),
            kubeconfig,
            network,
            limit,
            client: OnceLock::new(),
        }
    }

    /// Returns an object as JSON. `kind` is a singular name for kubectl, such as `pod`. An object without a namespace
    /// has an empty one here.
    ///
    /// # Errors
    ///
    /// There is no such object, or the API server did not respond.
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Value, ClusterError> {
        let object = name.to_owned();
        let found = self
            .client()?
            .objects(namespace, kind, async move |objects| {
                objects.get(&object).await
            });
        let found = found.map_err(self.failed(format!("get {kind}/{name} in {namespace}")))?;
        Ok(serde_json::to_value(found).unwrap_or_default())
    }

    /// Returns the objects of a namespace with these labels, such as `app=torchserve`, as JSON.
    ///
    /// # Errors
    ///
    /// The API server did not respond.
    pub fn objects(
        &self,
        namespace: &str,
        kind: &str,
        labels: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let selected = ListParams::default().labels(labels);
        let found = self
            .client()?
            .objects(namespace, kind, async move |objects| {
                objects.list(&selected).await
            });
        let found = found.map_err(self.failed(format!("list {kind} in {namespace}")))?;
        let values = found.items.into_iter().map(serde_json::to_value);
        Ok(values.map(Result::unwrap_or_default).collect())
    }

    /// Returns all objects of the cluster as JSON, each with its resource, such as `deployments.apps`. Those of some
    /// resources are left out.
    ///
    /// # Errors
    ///
    /// The API server did not respond.
    pub fn all_objects(
        &self,
        except: &'static [&str],
    ) -> Result<Vec<(String, Value)>, ClusterError> {
        let found = self
            .client()?
            .request(async move |client| client::all_objects(client, except).await);
        let found = found.map_err(self.failed("list all objects".to_owned()))?;
        let found = found.into_iter();
        let values =
            found.map(|(resource, object)| serde_json::to_value(object).map(|it| (resource, it)));
        Ok(values.filter_map(Result::ok).collect())
    }

    /// Merges fields into an object.
    ///
    /// # Errors
    ///
    /// There is no such object, or the API server rejected the change.
    pub fn merge(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        fields: Value,
    ) -> Result<(), ClusterError> {
        let object = name.to_owned();
        let patch = Patch::Merge(fields);
        let patched = self
            .client()?
            .objects(namespace, kind, async move |objects| {
                objects
                    .patch(&object, &PatchParams::default(), &patch)
                    .await
            });
        patched
            .map(|_object| ())
            .map_err(self.failed(format!("patch {kind}/{name} in {namespace}")))
    }

    /// Merges fields into the status of an object.
    ///
    /// # Errors
    ///
    /// There is no such object, or the API server rejected the status.
    pub fn patch_status(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        status: &Value,
    ) -> Result<(), ClusterError> {
        let object = name.to_owned();
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = self
            .client()?
            .objects(namespace, kind, async move |objects| {
                let parameters = PatchParams::default();
                objects.patch_status(&object, &parameters, &patch).await
            });
        patched
            .map(|_object| ())
            .map_err(self.failed(format!("patch the status of {kind}/{name} in {namespace}")))
    }

    /// Creates a namespace.
    ///
    /// # Errors
    ///
    /// It exists.
    pub fn create_namespace(&self, name: &str) -> Result<(), ClusterError> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        let created = self.client()?.request(async move |client| {
            let parameters = PostParams::default();
            Api::all(client).create(&parameters, &namespace).await
        });
        created
            .map(|_namespace| ())
            .map_err(self.failed(format!("create the namespace {name}")))
    }

    /// Returns a new token of a service account, with these fields of a `TokenRequest`'s `spec`.
    ///
    /// # Errors
    ///
    /// There is no such account, or the API server rejected the fields.
    pub fn token(
        &self,
        namespace: &str,
        account: &str,
        spec: Value,
    ) -> Result<String, ClusterError> {
        let (within, name) = (namespace.to_owned(), account.to_owned());
        let created = self.client()?.request(async move |client| {
            let request = json!({ "spec": spec });
            let request = serde_json::from_value(request).map_err(Error::SerdeError)?;
            let accounts: Api<ServiceAccount> = Api::namespaced(client, &within);
            let parameters = PostParams::default();
            accounts
                .create_token_request(&name, &parameters, &request)
                .await
        });
        let created =
            created.map_err(self.failed(format!("create a token of {account} in {namespace}")))?;
        Ok(created
            .status
            .and_then(|status| status.token)
            .unwrap_or_default())
    }

    /// Returns the body of the response to a GET of this path of the API server.
    ///
    /// # Errors
    ///
    /// The API server did not respond, or responded with an error.
    pub fn get_path(&self, path: &str) -> Result<String, ClusterError> {
        let owned = path.to_owned();
        let text = self.client()?.request(async move |client| {
            let request = http::Request::get(&owned).body(Vec::new());
            let request = request.map_err(Error::HttpError)?;
            client.request_text(request).await
        });
        text.map_err(self.failed(format!("get {path}")))
    }

    /// Applies the objects of a YAML text with server-side apply, like `kubectl apply --server-side --force-conflicts`.
    ///
    /// # Errors
    ///
    /// The API server rejected one of them, for example because of an unknown field.
    pub fn apply(&self, yaml: &str) -> Result<(), ClusterError> {
        self.apply_with(yaml, PatchParams::apply(FIELD_MANAGER).force())
    }

    /// Applies the objects of a YAML text in a dry run.
    ///
    /// # Errors
    ///
    /// The API server would reject one of them.
    pub fn dry_run(&self, yaml: &str) -> Result<(), ClusterError> {
        self.apply_with(yaml, PatchParams::apply(FIELD_MANAGER).force().dry_run())
    }

    fn apply_with(&self, yaml: &str, parameters: PatchParams) -> Result<(), ClusterError> {
        let parameters = parameters.validation_strict();
        let objects: Vec<Option<DynamicObject>> = serde_saphyr::from_multiple(yaml)
            .map_err(|error| self.failed("parse objects".to_owned())(error.to_string()))?;
        for object in objects.into_iter().flatten() {
            let name = object.name_any();
            let types = object.types.clone().unwrap_or_default();
            let parameters = parameters.clone();
            let applied = self
                .client()?
                .request(async move |client| client::apply(client, &object, &parameters).await);
            applied.map_err(self.failed(format!("apply {}/{name}", types.kind)))?;
        }
        Ok(())
    }

    /// Connects with the first request.
    fn client(&self) -> Result<&Client, ClusterError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::start(self.kubeconfig.clone(), self.network.clone(), self.limit)
            .map_err(self.failed("connect a client".to_owned()))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn failed(&self, request: String) -> impl FnOnce(String) -> ClusterError {
        let name = self.cluster.clone();
        move |reason| ClusterError::Request {
            name,
            request,
            reason,
        }
    }
}
