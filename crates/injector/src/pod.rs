//! A pod, with the fields that the injection reads. Other fields are skipped without being stored; see [`json`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use pushscale_api::names::{TRUST_VOLUME, inject as label};
use pushscale_protocol::SIDECAR_PORT;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::annotation;
use crate::json::{self, Item, Present};

/// The name of the sidecar's port, unless another container has a port of this name.
pub(crate) const PORT_NAME: &str = "pushscale";

/// The annotation on the API server's copy of a static pod.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The label of nodes with their operating system.
pub(crate) const NODE_OS: &str = "kubernetes.io/os";

/// The kind of the owner of a static pod.
pub(crate) const NODE: &str = "Node";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pod<'a> {
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) kind: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) metadata: Option<Metadata<'a>>,
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) spec: Option<PodSpec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    /// The annotations of Pushscale, and [`MIRROR`].
    #[serde(default, deserialize_with = "needed_annotations")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// The label of Pushscale.
    #[serde(default, deserialize_with = "needed_labels")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// The controller, and nodes.
    #[serde(default, deserialize_with = "json::list", borrow)]
    pub(crate) owner_references: Vec<OwnerReference<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerReference<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) api_version: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::boolean")]
    pub(crate) controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodSpec<'a> {
    #[serde(default, deserialize_with = "json::list", borrow)]
    pub(crate) containers: Vec<Container<'a>>,
    #[serde(default, deserialize_with = "json::optional_list", borrow)]
    pub(crate) init_containers: Option<Vec<InitContainer<'a>>>,
    /// The volume with the sidecar's name, if there is one.
    #[serde(default, deserialize_with = "json::optional_list", borrow)]
    pub(crate) volumes: Option<Vec<Volume<'a>>>,
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) os: Option<Os<'a>>,
    /// The selected operating system.
    #[serde(default, deserialize_with = "needed_node_labels")]
    pub(crate) node_selector: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "json::boolean")]
    pub(crate) host_network: Option<bool>,
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) restart_policy: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "json::integer")]
    pub(crate) termination_grace_period_seconds: Option<i64>,
    #[serde(default, deserialize_with = "json::optional_object")]
    pub(crate) security_context: Option<SecurityContext>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) image: Option<Cow<'a, str>>,
    /// The ports with the sidecar's number or name.
    #[serde(default, deserialize_with = "json::list", borrow)]
    pub(crate) ports: Vec<Port<'a>>,
    #[serde(default, deserialize_with = "json::list", borrow)]
    pub(crate) volume_mounts: Vec<VolumeMount<'a>>,
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) lifecycle: Option<Lifecycle<'a>>,
    #[serde(default, deserialize_with = "json::optional_object")]
    pub(crate) security_context: Option<SecurityContext>,
    #[serde(default, deserialize_with = "json::optional_object")]
    pub(crate) resources: Option<Resources>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Resources {
    #[serde(default, deserialize_with = "json::optional_object")]
    pub(crate) limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Limits {
    pub(crate) cpu: Option<Present>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitContainer<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) restart_policy: Option<Cow<'a, str>>,
    /// The ports with the sidecar's number or name.
    #[serde(default, deserialize_with = "json::list", borrow)]
    pub(crate) ports: Vec<Port<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Port<'a> {
    #[serde(default, deserialize_with = "json::integer")]
    pub(crate) container_port: Option<i64>,
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) name: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeMount<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) mount_path: Cow<'a, str>,
    #[serde(default, deserialize_with = "json::optional_text", borrow)]
    pub(crate) sub_path: Option<Cow<'a, str>>,
    pub(crate) sub_path_expr: Option<Present>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Volume<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Os<'a> {
    #[serde(default, deserialize_with = "json::text", borrow)]
    pub(crate) name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lifecycle<'a> {
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) pre_stop: Option<Hook<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hook<'a> {
    #[serde(default, deserialize_with = "json::optional_object", borrow)]
    pub(crate) http_get: Option<HttpGet<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct HttpGet<'a> {
    #[serde(default, deserialize_with = "json::lenient_text", borrow)]
    pub(crate) host: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "json::lenient_text", borrow)]
    pub(crate) path: Option<Cow<'a, str>>,
    /// A number, or the name of a port of the same container.
    #[serde(default, deserialize_with = "json::lenient_text", borrow)]
    pub(crate) port: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "json::lenient_text", borrow)]
    pub(crate) scheme: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityContext {
    #[serde(default, deserialize_with = "json::integer")]
    pub(crate) run_as_user: Option<i64>,
}

impl Item for Container<'_> {}

impl Item for InitContainer<'_> {}

impl Item for OwnerReference<'_> {
    fn is_needed(&self) -> bool {
        self.controller == Some(true) || self.kind == NODE
    }
}

impl Item for Port<'_> {
    fn is_needed(&self) -> bool {
        self.container_port == Some(i64::from(SIDECAR_PORT))
            || self.name.as_deref() == Some(PORT_NAME)
    }
}

impl Item for VolumeMount<'_> {
    fn is_needed(&self) -> bool {
        !self.mount_path.is_empty()
    }
}

impl Item for Volume<'_> {
    fn is_needed(&self) -> bool {
        self.name == TRUST_VOLUME
    }
}

fn needed_annotations<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    json::text_map(deserializer, |key| {
        key.starts_with(annotation::PREFIX) || key == MIRROR
    })
}

fn needed_labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    json::text_map(deserializer, |key| key == label::LABEL)
}

fn needed_node_labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    json::text_map(deserializer, |key| key == NODE_OS)
}

impl<'a> Pod<'a> {
    /// Parses a pod.
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let pod: Self = json::parse(json)?;
        match &pod.kind {
            Some(kind) if kind != "Pod" => Err(serde::de::Error::custom("its kind is not Pod")),
            _ => Ok(pod),
        }
    }

    /// Returns the pod as JSON with those fields that an injection changes or adds to, and empty lists.
    ///
    /// The JSON patch for it is also the one for the whole pod.
    pub(crate) fn skeleton(&self) -> Value {
        let mut pod = Map::new();
        if let Some(metadata) = &self.metadata {
            let mut fields = Map::new();
            if let Some(annotations) = &metadata.annotations {
                let written = annotation::WRITTEN.into_iter().filter_map(|key| {
                    let value = annotations.get(key)?;
                    Some((key.to_owned(), Value::from(value.as_str())))
                });
                fields.insert("annotations".to_owned(), Value::Object(written.collect()));
            }
            pod.insert("metadata".to_owned(), Value::Object(fields));
        }
        if let Some(spec) = &self.spec {
            pod.insert("spec".to_owned(), spec.skeleton());
        }
        Value::Object(pod)
    }
}

impl PodSpec<'_> {
    fn skeleton(&self) -> Value {
        let mut spec = Map::new();
        let containers: Vec<_> = self.containers.iter().map(Container::skeleton).collect();
        if !containers.is_empty() {
            spec.insert("containers".to_owned(), Value::Array(containers));
        }
        for (list, exists) in [
            ("initContainers", self.init_containers.is_some()),
            ("volumes", self.volumes.is_some()),
        ] {
            if exists {
                spec.insert(list.to_owned(), Value::Array(Vec::new()));
            }
        }
        if let Some(seconds) = self.termination_grace_period_seconds {
            let seconds = Value::from(seconds);
            spec.insert("terminationGracePeriodSeconds".to_owned(), seconds);
        }
        Value::Object(spec)
    }
}

impl Container<'_> {
    fn skeleton(&self) -> Value {
        let lifecycle = self.lifecycle.as_ref().map(|_| {
            let empty = Value::Object(Map::new());
            ("lifecycle".to_owned(), empty)
        });
        Value::Object(lifecycle.into_iter().collect())
    }
}
