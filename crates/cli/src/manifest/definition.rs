//! A kind of object by its CustomResourceDefinition.

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::error::ManifestError;
use super::problem::Problem;
use super::schema::Schema;
use super::text::{self, Document};
use super::{default, lists, metadata, names, prune, rules, structure};

/// Why a CustomResourceDefinition is of no use here. A mistake of ours: tests read the one that is shipped.
#[derive(Debug, Error)]
pub enum DefinitionError {
    /// It has something that this does not understand, or lacks something.
    #[error("the definition cannot be read: {0}; teach crates/cli/src/manifest what it says")]
    Read(#[source] serde_json::Error),
    /// No version can be applied.
    #[error("the definition serves no version")]
    NoVersion,
}

/// What objects of one kind may hold, by their CustomResourceDefinition.
#[derive(Debug)]
pub struct Definition {
    group: String,
    version: String,
    kind: String,
    schema: Schema,
}

/// The parts of a CustomResourceDefinition that are of interest.
#[derive(Deserialize)]
struct Crd {
    spec: CrdSpec,
}

#[derive(Deserialize)]
struct CrdSpec {
    group: String,
    names: CrdNames,
    versions: Vec<CrdVersion>,
}

#[derive(Deserialize)]
struct CrdNames {
    kind: String,
}

#[derive(Deserialize)]
struct CrdVersion {
    name: String,
    served: bool,
    schema: CrdSchema,
}

#[derive(Deserialize)]
struct CrdSchema {
    #[serde(rename = "openAPIV3Schema")]
    open_api_v3_schema: Schema,
}

impl Definition {
    /// Reads a CustomResourceDefinition of one version.
    ///
    /// # Errors
    ///
    /// It uses a keyword that is not understood here, or a rule does not compile.
    pub fn from_crd(crd: &Value) -> Result<Self, DefinitionError> {
        let crd: Crd = Deserialize::deserialize(crd).map_err(DefinitionError::Read)?;
        let version = crd
            .spec
            .versions
            .into_iter()
            .find(|version| version.served)
            .ok_or(DefinitionError::NoVersion)?;
        Ok(Self {
            group: crd.spec.group,
            version: version.name,
            kind: crd.spec.names.kind,
            schema: version.schema.open_api_v3_schema,
        })
    }

    /// Reads one object of this kind from YAML as the API server would store it, without its status, or says
    /// everything that kubectl would say.
    ///
    /// # Errors
    ///
    /// The text is no manifest of one such object, or one that `kubectl apply` would refuse.
    pub fn read(&self, yaml: &str) -> Result<Value, ManifestError> {
        let mut document = text::read(yaml)?;
        self.check_type(&document)?;
        metadata::check_types(&document.object)?;
        let name = metadata::name(&document)?;
        prune::drop_nulls(&mut document.object);

        let mut object = document.object;
        let fields = self.unknown_fields(&object);
        if !fields.is_empty() {
            return Err(ManifestError::UnknownFields {
                kind: self.kind.clone(),
                version: self.version.clone(),
                fields,
            });
        }
        // An object is created without its status, whatever the manifest says.
        object.remove("status");
        default::apply(&mut object, &self.schema);
        let object = Value::Object(object);
        let problems = self.problems(&object);
        if problems.is_empty() {
            return Ok(object);
        }
        Err(ManifestError::invalid(&self.kind, &name, &problems))
    }

    /// Whether the object says that it is of this kind.
    fn check_type(&self, document: &Document) -> Result<(), ManifestError> {
        let expected = format!(
            "apiVersion: {}/{}, kind: {}",
            self.group, self.version, self.kind
        );
        let stated = |key: &str| match document.object.get(key) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
            None | Some(Value::String(_) | Value::Null) => Err(ManifestError::text(
                document.line_of(key),
                format!("{key} is not set; expected {expected}"),
            )),
            Some(_) => Err(ManifestError::text(
                document.line_of(key),
                format!("{key} is not a text; expected {expected}"),
            )),
        };
        let (api_version, kind) = (stated("apiVersion")?, stated("kind")?);
        if kind == self.kind && api_version == format!("{}/{}", self.group, self.version) {
            return Ok(());
        }
        let line = if kind == self.kind {
            document.line_of("apiVersion")
        } else {
            document.line_of("kind")
        };
        Err(ManifestError::text(
            line,
            format!("this has apiVersion: {api_version}, kind: {kind}; expected {expected}"),
        ))
    }

    fn unknown_fields(&self, object: &Map<String, Value>) -> Vec<String> {
        let mut fields = metadata::unknown_fields(object);
        fields.extend(prune::unknown_fields(object, &self.schema));
        fields
    }

    /// All mistakes, in the order in which the API server looks for them.
    fn problems(&self, object: &Value) -> Vec<Problem> {
        let mut problems = names::check(object);
        problems.extend(structure::check(&self.schema, object));
        problems.extend(lists::check(&self.schema, object));
        if problems
            .iter()
            .any(|problem| problem.kind.keeps_rules_from_running())
        {
            problems.push(Problem::rules_did_not_run());
        } else {
            problems.extend(rules::check(&self.schema, object));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition_of(spec: &Value) -> Result<Definition, DefinitionError> {
        Definition::from_crd(&json!({ "spec": {
            "group": "example.com",
            "names": { "kind": "Example" },
            "versions": [ { "name": "v1", "served": true, "schema": {
                "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } }
            } } ],
        } }))
    }

    #[test]
    fn what_is_not_checked_here_is_refused_in_a_definition() {
        for (spec, words) in [
            (
                json!({ "type": "string", "contentEncoding": "x" }),
                "contentEncoding",
            ),
            (json!({ "type": "string", "format": "email" }), "email"),
            (json!({ "type": "string", "pattern": "(" }), "regex"),
            (
                json!({ "x-kubernetes-validations": [ { "rule": "self >" } ] }),
                "self >",
            ),
            (
                json!({ "x-kubernetes-validations": [ { "rule": "true", "optionalOldSelf": true } ] }),
                "optionalOldSelf",
            ),
        ] {
            let said = definition_of(&spec).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        assert!(definition_of(&json!({ "type": "string" })).is_ok());
    }
}
