//! The schema of a definition: `openAPIV3Schema` as the API server understands it.

use std::collections::BTreeMap;

use kube_cel::cel::Program;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// What a field may hold.
///
/// A keyword that is not here is refused when the definition is read, and not passed over: who gives the
/// PushScaler a field with a new kind of rule learns by a failing test that it is not checked yet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Schema {
    #[serde(rename = "type")]
    pub(super) type_: Option<Type>,
    pub(super) format: Option<Format>,
    pub(super) nullable: bool,
    pub(super) default: Option<Value>,
    #[serde(rename = "enum")]
    pub(super) enumeration: Vec<Value>,

    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,

    pub(super) min_length: Option<i64>,
    pub(super) max_length: Option<i64>,
    pub(super) pattern: Option<Pattern>,

    pub(super) items: Option<Box<Schema>>,
    pub(super) min_items: Option<i64>,
    pub(super) max_items: Option<i64>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(super) list_type: ListType,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(super) list_map_keys: Vec<String>,

    pub(super) properties: BTreeMap<String, Schema>,
    pub(super) additional_properties: Option<AdditionalProperties>,
    pub(super) required: Vec<String>,
    pub(super) min_properties: Option<i64>,
    pub(super) max_properties: Option<i64>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(super) preserve_unknown_fields: bool,

    pub(super) all_of: Vec<Schema>,
    pub(super) any_of: Vec<Schema>,
    pub(super) one_of: Vec<Schema>,
    pub(super) not: Option<Box<Schema>>,

    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(super) int_or_string: bool,
    #[serde(rename = "x-kubernetes-validations")]
    pub(super) rules: Vec<Rule>,

    // For people, and for what merges objects.
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    #[serde(rename = "example")]
    _example: Option<Value>,
    #[serde(rename = "externalDocs")]
    _external_docs: Option<Value>,
    #[serde(rename = "x-kubernetes-map-type")]
    _map_type: Option<String>,
}

/// A type of JSON.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What a number or a text must be besides. A format that the API server enforces and this does not know is refused.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    Int32,
    Int64,
    Float,
    Double,
    DateTime,
    /// The generator writes these for unsigned and short integers, and the API server passes them over.
    #[serde(alias = "int8", alias = "int16", alias = "uint8", alias = "uint16")]
    #[serde(alias = "uint32", alias = "uint64", alias = "uint", alias = "int")]
    Unchecked,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float => "float",
            Self::Double => "double",
            Self::DateTime => "date-time",
            Self::Unchecked => "",
        }
    }

    /// The API server passes over a format of another type.
    fn belongs_to(self, type_: Option<Type>) -> bool {
        match self {
            Self::Int32 | Self::Int64 => type_ == Some(Type::Integer),
            Self::Float | Self::Double => type_ == Some(Type::Number),
            Self::DateTime => matches!(type_, None | Some(Type::String)),
            Self::Unchecked => false,
        }
    }
}

/// What must differ between the elements of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// What a field that is not among the properties may hold.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum AdditionalProperties {
    Allowed(bool),
    Schema(Box<Schema>),
}

/// A pattern, compiled. Both languages have the syntax of RE2; `\d`, `\w`, `\s` and `\b` know ASCII only in Go, so
/// patterns say `[0-9]`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) compiled: Regex,
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let compiled = Regex::new(&text)?;
        Ok(Self { text, compiled })
    }
}

/// A rule that CEL evaluates.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) rule: Expression,
    pub(super) message: Option<String>,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: Option<Reason>,
    /// Below which field the mistake is told: `.spec.x`.
    pub(super) field_path: Option<String>,
}

/// An expression, compiled.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Expression {
    pub(super) text: String,
    pub(super) program: Program,
}

impl TryFrom<String> for Expression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match Program::compile(&text) {
            Ok(program) => Ok(Self { text, program }),
            Err(error) => Err(format!("the rule {text:?} is no CEL: {error}")),
        }
    }
}

/// Which sort of mistake a failed rule is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum Reason {
    #[serde(rename = "FieldValueInvalid")]
    Invalid,
    #[serde(rename = "FieldValueForbidden")]
    Forbidden,
    #[serde(rename = "FieldValueRequired")]
    Required,
    #[serde(rename = "FieldValueDuplicate")]
    Duplicate,
}

impl Schema {
    /// The types that a value may have; none if any may.
    pub(super) fn types(&self) -> &'static [Type] {
        if self.int_or_string {
            return &[Type::Integer, Type::String];
        }
        match self.type_ {
            None => &[],
            Some(Type::Object) => &[Type::Object],
            Some(Type::Array) => &[Type::Array],
            Some(Type::String) => &[Type::String],
            Some(Type::Integer) => &[Type::Integer],
            Some(Type::Number) => &[Type::Number],
            Some(Type::Boolean) => &[Type::Boolean],
        }
    }

    /// The format, if the API server enforces it.
    pub(super) fn enforced_format(&self) -> Option<Format> {
        self.format
            .filter(|format| !self.int_or_string && format.belongs_to(self.type_))
    }

    /// The schema of a field by its name.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.properties
            .get(name)
            .or_else(|| self.additional_schema())
    }

    /// The schema of the fields that are not among the properties.
    pub(super) fn additional_schema(&self) -> Option<&Self> {
        match &self.additional_properties {
            Some(AdditionalProperties::Schema(schema)) => Some(schema),
            Some(AdditionalProperties::Allowed(_)) | None => None,
        }
    }
}
