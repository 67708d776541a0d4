//! A kind of object, described by its CustomResourceDefinition.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{DefinitionError, ManifestError};
use super::problem::Problem;
use super::text::{self, Document};
use super::{fields, metadata, names, rules, schema, structure};

/// A kind of object, described by its CustomResourceDefinition.
#[derive(Debug)]
pub struct Definition {
    group: String,
    version: String,
    kind: String,
    schema: Value,
}

/// The parts of a CustomResourceDefinition's spec that are used here.
#[derive(Deserialize)]
struct Spec {
    group: String,
    names: Names,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Names {
    kind: String,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    served: bool,
    schema: VersionSchema,
}

#[derive(Deserialize)]
struct VersionSchema {
    #[serde(rename = "openAPIV3Schema")]
    open_api_v3_schema: Value,
}

impl Definition {
    /// Reads a CustomResourceDefinition with one version.
    ///
    /// # Errors
    ///
    /// Fails if the schema has a keyword that is not validated here, or a rule or a pattern that does not compile.
    pub fn from_crd(crd: &Value) -> Result<Self, DefinitionError> {
        let spec: Spec = Deserialize::deserialize(&crd["spec"]).map_err(DefinitionError::Parse)?;
        let version = spec.versions.into_iter().find(|version| version.served);
        let version = version.ok_or(DefinitionError::NoVersion)?;
        let schema = version.schema.open_api_v3_schema;
        // The values of a status are not validated.
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut validated = properties.filter(|(name, _)| *name != "status");
        validated.try_for_each(|(_, schema)| schema::check(schema))?;
        Ok(Self {
            group: spec.group,
            version: version.name,
            kind: spec.names.kind,
            schema,
        })
    }

    /// Reads one object of this kind from YAML and returns it as the API server would store it, without its status.
    ///
    /// # Errors
    ///
    /// Fails if the text is not a manifest of one such object, or if `kubectl apply` would reject it. The error lists
    /// everything that kubectl would report.
    pub fn read(&self, yaml: &str) -> Result<Value, ManifestError> {
        let document = text::read(yaml)?;
        self.check_type(&document)?;
        metadata::check_types(&document.object)?;
        let name = metadata::name(&document)?;
        let mut object = Value::Object(document.object);
        fields::drop_nulls(&mut object);
        self.check_unknown(&object)?;
        // An object is created without its status, whatever the manifest contains.
        if let Value::Object(fields) = &mut object {
            fields.remove("status");
        }
        fields::apply_defaults(&mut object, &self.schema);
        let problems = self.problems(&object);
        if problems.is_empty() {
            return Ok(object);
        }
        Err(ManifestError::invalid(&self.kind, name, problems))
    }

    /// Checks that the object claims to be of this kind.
    fn check_type(&self, document: &Document) -> Result<(), ManifestError> {
        let (api_version, kind) = (format!("{}/{}", self.group, self.version), &self.kind);
        let expected = format!("expected apiVersion: {api_version}, kind: {kind}");
        let stated = |key: &str| {
            let problem = match document.object.get(key) {
                Some(Value::String(text)) if !text.is_empty() => return Ok(text.as_str()),
                None | Some(Value::String(_) | Value::Null) => "is not set",
                Some(_) => "is not a string",
            };
            let reason = format!("{key} {problem}; {expected}");
            Err(ManifestError::text(document.line_of(key), reason))
        };
        let found = (stated("apiVersion")?, stated("kind")?);
        if found == (api_version.as_str(), kind) {
            return Ok(());
        }
        let wrong = if found.1 == kind {
            "apiVersion"
        } else {
            "kind"
        };
        let reason = format!(
            "this has apiVersion: {}, kind: {}; {expected}",
            found.0, found.1
        );
        Err(ManifestError::text(document.line_of(wrong), reason))
    }

    fn check_unknown(&self, object: &Value) -> Result<(), ManifestError> {
        let mut unknown = Vec::new();
        let mut described = object.as_object().cloned().unwrap_or_else(Map::new);
        metadata::note_unknown(&described, &mut unknown);
        described.retain(|name, _| !["apiVersion", "kind", "metadata"].contains(&name.as_str()));
        let mut others = Vec::new();
        fields::note_unknown(
            "",
            &described.into(),
            Some(&self.schema),
            false,
            &mut others,
        );
        others.sort();
        unknown.extend(others);
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown = unknown
            .iter()
            .map(|path| format!("unknown field \"{path}\""));
        let unknown: Vec<String> = unknown.collect();
        let (kind, version) = (&self.kind, &self.version);
        Err(ManifestError::Undecodable(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            unknown.join(", ")
        )))
    }

    /// Returns all errors, in the order of the API server's checks.
    fn problems(&self, object: &Value) -> Vec<Problem> {
        let mut problems = names::check(object);
        problems.extend(structure::check(&self.schema, object));
        if problems.iter().any(|problem| problem.skips_rules) {
            let words = "some validation rules were not checked because the object was invalid; correct the existing \
                         errors to complete validation";
            problems.push(Problem::invalid("", Value::Null, words));
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
    fn a_definition_with_something_that_is_not_validated_is_rejected() {
        for (spec, words) in [
            (
                json!({ "type": "string", "contentEncoding": "x" }),
                "contentEncoding",
            ),
            (json!({ "type": "string", "format": "email" }), "email"),
            (json!({ "type": "string", "pattern": "(" }), "regex"),
            (json!({ "type": "number" }), "number"),
            (json!({ "enum": [ 1 ] }), "enum"),
            (json!({ "properties": { "a_b": {} } }), "a_b"),
            (
                json!({ "x-kubernetes-validations": [ { "rule": "self >", "message": "" } ] }),
                "self >",
            ),
            (
                json!({ "x-kubernetes-validations": [ { "rule": "true", "messageExpression": "''" } ] }),
                "messageExpression",
            ),
        ] {
            let error = definition_of(&spec).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(definition_of(&json!({ "type": "string" })).is_ok());
    }
}
