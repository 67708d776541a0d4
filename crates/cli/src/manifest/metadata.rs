//! `metadata`: which fields it has, and of what type they are. It is the same for every kind of object, and no
//! definition describes it.

use serde_json::{Map, Value};

use super::error::ManifestError;
use super::text::Document;

/// What Go decodes a field into.
enum GoType {
    Text,
    /// A text that has a type of its own.
    TextAs(&'static str),
    Whole,
    Truth,
    Time,
    Texts,
    TextsByName,
    Objects(&'static str, &'static [(&'static str, GoType)]),
    /// What a server recorded, and no person writes.
    Anything,
}

/// The fields of ObjectMeta.
const FIELDS: &[(&str, GoType)] = &[
    ("annotations", GoType::TextsByName),
    ("creationTimestamp", GoType::Time),
    ("deletionGracePeriodSeconds", GoType::Whole),
    ("deletionTimestamp", GoType::Time),
    ("finalizers", GoType::Texts),
    ("generateName", GoType::Text),
    ("generation", GoType::Whole),
    ("labels", GoType::TextsByName),
    (
        "managedFields",
        GoType::Objects("ManagedFieldsEntry", MANAGED),
    ),
    ("name", GoType::Text),
    ("namespace", GoType::Text),
    ("ownerReferences", GoType::Objects("OwnerReference", OWNER)),
    ("resourceVersion", GoType::Text),
    ("selfLink", GoType::Text),
    ("uid", GoType::TextAs("types.UID")),
];

const OWNER: &[(&str, GoType)] = &[
    ("apiVersion", GoType::Text),
    ("blockOwnerDeletion", GoType::Truth),
    ("controller", GoType::Truth),
    ("kind", GoType::Text),
    ("name", GoType::Text),
    ("uid", GoType::TextAs("types.UID")),
];

const MANAGED: &[(&str, GoType)] = &[
    ("apiVersion", GoType::Text),
    ("fieldsType", GoType::Text),
    ("fieldsV1", GoType::Anything),
    ("manager", GoType::Text),
    ("operation", GoType::TextAs("v1.ManagedFieldsOperationType")),
    ("subresource", GoType::Text),
    ("time", GoType::Time),
];

/// Whether kubectl can decode the metadata. It tells the first mistake only.
pub(super) fn check_types(object: &Map<String, Value>) -> Result<(), ManifestError> {
    match object.get("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(metadata)) => check_fields(metadata, "ObjectMeta", FIELDS, "metadata"),
        Some(other) => Err(mismatch(
            other,
            "metadataOnlyObject",
            "metadata",
            "v1.ObjectMeta",
        )),
    }
}

/// The object's name, without which kubectl cannot ask for it.
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

/// The paths of the fields that it does not have.
pub(super) fn unknown_fields(object: &Map<String, Value>) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        note_unknown(metadata, FIELDS, "metadata", &mut unknown);
    }
    unknown
}

fn note_unknown(
    object: &Map<String, Value>,
    known: &[(&str, GoType)],
    path: &str,
    unknown: &mut Vec<String>,
) {
    for (name, value) in sorted(object) {
        let path = format!("{path}.{name}");
        match known.iter().find(|(known, _)| known == name) {
            None => unknown.push(path),
            Some((_, GoType::Objects(_, fields))) => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    if let Value::Object(item) = item {
                        note_unknown(item, fields, &format!("{path}[{index}]"), unknown);
                    }
                }
            }
            Some(_) => {}
        }
    }
}

fn check_fields(
    object: &Map<String, Value>,
    within: &str,
    fields: &[(&str, GoType)],
    path: &str,
) -> Result<(), ManifestError> {
    for (name, value) in sorted(object) {
        let path = format!("{path}.{name}");
        if let Some((_, type_)) = fields.iter().find(|(known, _)| known == name) {
            check(value, type_, within, &path)?;
        }
    }
    Ok(())
}

fn check(value: &Value, type_: &GoType, within: &str, path: &str) -> Result<(), ManifestError> {
    let expect = |right: bool, name: &str| {
        if right || value.is_null() {
            Ok(())
        } else {
            Err(mismatch(value, within, path, name))
        }
    };
    match type_ {
        GoType::Text => expect(value.is_string(), "string"),
        GoType::TextAs(name) => expect(value.is_string(), name),
        GoType::Whole => expect(value.is_i64(), "int64"),
        GoType::Truth => expect(value.is_boolean(), "bool"),
        GoType::Time | GoType::Anything => Ok(()),
        GoType::Texts => {
            expect(value.is_array(), "[]string")?;
            let mut items = value.as_array().into_iter().flatten();
            items.try_for_each(|item| check(item, &GoType::Text, within, path))
        }
        GoType::TextsByName => {
            expect(value.is_object(), "map[string]string")?;
            let mut fields = value.as_object().into_iter().flat_map(sorted);
            fields.try_for_each(|(_, field)| check(field, &GoType::Text, within, path))
        }
        GoType::Objects(name, fields) => {
            expect(value.is_array(), &format!("[]v1.{name}"))?;
            let mut items = value.as_array().into_iter().flatten();
            items.try_for_each(|item| match item {
                Value::Object(item) => check_fields(item, name, fields, path),
                Value::Null => Ok(()),
                other => Err(mismatch(other, within, path, &format!("v1.{name}"))),
            })
        }
    }
}

/// kubectl decodes JSON that it wrote from a map: in the order of the names.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = object.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    fields
}

fn mismatch(found: &Value, within: &str, path: &str, expected: &str) -> ManifestError {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        // It tells the number where a number would do, and this one does not.
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
