//! JSON Schemas of values that the charts pass to Kubernetes unchanged, and of the PushScaler's fields.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Collects the referenced definitions.
pub(super) struct Kubernetes(SchemaGenerator);

impl Default for Kubernetes {
    fn default() -> Self {
        Self(SchemaSettings::draft07().into_generator())
    }
}

impl Kubernetes {
    /// Returns a reference to the definition of a type.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        match name {
            "Affinity" => self.schema_for::<core::Affinity>(),
            "ContainerPort" => self.schema_for::<core::ContainerPort>(),
            "EnvVar" => self.schema_for::<core::EnvVar>(),
            "HorizontalPodAutoscalerBehavior" => {
                self.schema_for::<HorizontalPodAutoscalerBehavior>()
            }
            "Lifecycle" => self.schema_for::<core::Lifecycle>(),
            "LocalObjectReference" => self.schema_for::<core::LocalObjectReference>(),
            "NetworkPolicyPeer" => self.schema_for::<NetworkPolicyPeer>(),
            "PodSecurityContext" => self.schema_for::<core::PodSecurityContext>(),
            "Probe" => self.schema_for::<core::Probe>(),
            "Quantity" => self.schema_for::<Quantity>(),
            "ResourceRequirements" => self.schema_for::<core::ResourceRequirements>(),
            "SecurityContext" => self.schema_for::<core::SecurityContext>(),
            "Toleration" => self.schema_for::<core::Toleration>(),
            "TopologySpreadConstraint" => self.schema_for::<core::TopologySpreadConstraint>(),
            "Volume" => self.schema_for::<core::Volume>(),
            "VolumeMount" => self.schema_for::<core::VolumeMount>(),
            other => panic!("no type {other} here yet: add it"),
        }
    }

    /// Returns the same for values whose default is `{}`.
    pub(super) fn optional(&mut self, name: &str) -> Value {
        // The result contains only the reference, because draft 7 ignores its siblings, such as the description.
        json!({ "allOf": [self.reference(name)] })
    }

    /// Returns all referenced definitions, including indirect ones.
    pub(super) fn definitions(mut self) -> Map<String, Value> {
        let mut all = self.0.take_definitions(true);
        for (name, definition) in &mut all {
            match name.rsplit('.').next() {
                // A plain number is equivalent.
                Some("Quantity") => *definition = json!({ "type": ["string", "number"] }),
                Some("IntOrString") => *definition = json!({ "type": ["integer", "string"] }),
                _ => close(definition),
            }
        }
        all
    }

    fn schema_for<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }
}

/// Returns the schema of a field of the PushScaler's spec. Required fields are left to the API server, since the
/// default is `{}`.
pub(super) fn of_the_scaler(field: &str) -> Value {
    let definition: Value =
        serde_saphyr::from_str(&super::read("pushscale", "files/crd.yaml")).unwrap();
    let versions = &definition["spec"]["versions"][0];
    let spec = &versions["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let mut schema = spec[field].clone();
    assert!(schema.is_object(), "a PushScaler has no {field}");
    close(&mut schema);
    schema.as_object_mut().unwrap().remove("required");
    schema
}

/// Rejects unknown keys in all objects, and removes the parts that only humans and the API server need, to keep the
/// file short.
fn close(schema: &mut Value) {
    let Value::Object(schema) = schema else {
        return;
    };
    schema.retain(|word, _| {
        let of_the_server = word.starts_with("x-kubernetes-");
        !of_the_server
            && !["default", "description", "format", "nullable", "title"].contains(&word.as_str())
    });
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(close);
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(word) {
            close(inner);
        }
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(inner)) = schema.get_mut(word) {
            inner.iter_mut().for_each(close);
        }
    }
}
