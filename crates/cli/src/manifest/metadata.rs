//! The fields of `metadata` and their types. They are the same for every kind of object, and no definition describes
//! them.

use serde_json::{Map, Value};

use super::error::ManifestError;
use super::text::Document;

/// The structs of Go in metadata, and their fields with the types that Go decodes them into. Fields without a type are
/// written by servers only.
const STRUCTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "v1.ObjectMeta",
        &[
            ("annotations", "map[string]string"),
            ("creationTimestamp", ""),
            ("deletionGracePeriodSeconds", "int64"),
            ("deletionTimestamp", ""),
            ("finalizers", "[]string"),
            ("generateName", "string"),
            ("generation", "int64"),
            ("labels", "map[string]string"),
            ("managedFields", "[]v1.ManagedFieldsEntry"),
            ("name", "string"),
            ("namespace", "string"),
            ("ownerReferences", "[]v1.OwnerReference"),
            ("resourceVersion", "string"),
            ("selfLink", "string"),
            ("uid", "types.UID"),
        ],
    ),
    (
        "v1.OwnerReference",
        &[
            ("apiVersion", "string"),
            ("blockOwnerDeletion", "bool"),
            ("controller", "bool"),
            ("kind", "string"),
            ("name", "string"),
            ("uid", "types.UID"),
        ],
    ),
    (
        "v1.ManagedFieldsEntry",
        &[
            ("apiVersion", "string"),
            ("fieldsType", "string"),
            ("fieldsV1", ""),
            ("manager", "string"),
            ("operation", "v1.ManagedFieldsOperationType"),
            ("subresource", "string"),
            ("time", ""),
        ],
    ),
];

fn fields_of(go_type: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let found = STRUCTS.iter().find(|(name, _)| *name == go_type);
    found.map(|(_, fields)| *fields)
}

/// Checks that kubectl can decode the metadata. It reports the first error only.
pub(super) fn check_types(object: &Map<String, Value>) -> Result<(), ManifestError> {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    check(metadata, "v1.ObjectMeta", "metadataOnlyObject", "metadata")
}

fn check(value: &Value, go_type: &str, within: &str, path: &str) -> Result<(), ManifestError> {
    let (item_type, fields) = (go_type.strip_prefix("[]"), fields_of(go_type));
    let fits = match go_type {
        "" => true,
        "int64" => value.is_i64(),
        "bool" => value.is_boolean(),
        "map[string]string" => value.is_object(),
        _ if item_type.is_some() => value.is_array(),
        _ if fields.is_some() => value.is_object(),
        _ => value.is_string(),
    };
    if !fits && !value.is_null() {
        return Err(mismatch(value, within, path, go_type));
    }
    for item in value.as_array().into_iter().flatten() {
        check(item, item_type.unwrap_or_default(), within, path)?;
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let known = fields
            .into_iter()
            .flatten()
            .find(|(known, _)| known == name);
        match known {
            Some((_, field_type)) => {
                let within = go_type.trim_start_matches("v1.");
                check(value, field_type, within, &format!("{path}.{name}"))?;
            }
            None if go_type == "map[string]string" => check(value, "string", within, path)?,
            None => {}
        }
    }
    Ok(())
}

fn mismatch(found: &Value, within: &str, path: &str, expected: &str) -> ManifestError {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        // The number is printed where a number is expected, but not this one.
        Value::Number(number) if expected == "int64" => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    ManifestError::Undecodable(format!(
        "json: cannot unmarshal {found} into Go struct field {within}.{path} of type {expected}"
    ))
}

/// Returns the object's name, which kubectl needs to ask for the object.
pub(super) fn name(document: &Document) -> Result<String, ManifestError> {
    let metadata = document.object.get("metadata");
    let text = |field: &str| metadata.and_then(|metadata| metadata.get(field)?.as_str());
    match (text("name"), text("generateName")) {
        (Some(name), _) if !name.is_empty() => Ok(name.to_owned()),
        (_, Some(prefix)) if !prefix.is_empty() => Err(ManifestError::Undecodable(format!(
            "from {prefix}: cannot use generate name with apply"
        ))),
        _ => Err(ManifestError::text(
            document.line_of("metadata"),
            "metadata.name is not set; expected a name",
        )),
    }
}

/// Adds the paths of the fields that metadata does not have.
pub(super) fn note_unknown(object: &Map<String, Value>, unknown: &mut Vec<String>) {
    if let Some(metadata) = object.get("metadata") {
        note_unknown_within(metadata, "v1.ObjectMeta", "metadata", unknown);
    }
}

fn note_unknown_within(value: &Value, go_type: &str, path: &str, unknown: &mut Vec<String>) {
    let Some(fields) = fields_of(go_type) else {
        return;
    };
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match fields.iter().find(|(known, _)| known == name) {
            None => unknown.push(path),
            Some((_, go_type)) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    let item_type = go_type.trim_start_matches("[]");
                    note_unknown_within(item, item_type, &format!("{path}[{index}]"), unknown);
                }
            }
        }
    }
}
