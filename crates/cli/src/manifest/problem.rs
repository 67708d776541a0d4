//! One validation error of one field, in the words of the API server.

use serde_json::Value;

use super::go;

/// One validation error of one field.
#[derive(Debug)]
pub(super) struct Problem {
    /// The field's path, the kind of error, the value and the details.
    pub(super) text: String,
    /// Whether the API server evaluates no CEL rule on an object with such an error.
    pub(super) skips_rules: bool,
}

/// The kinds of errors.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Required,
    Invalid,
    /// Printed like `Invalid`, but no CEL rule is evaluated.
    TypeInvalid,
    NotSupported,
    TooLong,
    TooMany,
}

impl Problem {
    /// An error of the field at `path`; an empty path is the object itself. Without a value none is printed.
    pub(super) fn new(path: &str, kind: Kind, value: Option<&Value>, detail: &str) -> Self {
        let (words, shows_value, skips_rules) = match kind {
            Kind::Required => ("Required value", false, true),
            Kind::Invalid => ("Invalid value", true, false),
            Kind::TypeInvalid => ("Invalid value", true, true),
            Kind::NotSupported => ("Unsupported value", true, true),
            Kind::TooLong => ("Too long", false, true),
            Kind::TooMany => ("Too many", true, true),
        };
        // The API server prints an empty path as a nil pointer.
        let path = if path.is_empty() { "<nil>" } else { path };
        let mut parts = vec![path.to_owned(), words.to_owned()];
        parts.extend(value.filter(|_| shows_value).map(go::value));
        parts.extend((!detail.is_empty()).then(|| detail.to_owned()));
        Self {
            text: parts.join(": "),
            skips_rules,
        }
    }

    pub(super) fn invalid(path: &str, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(path, Kind::Invalid, Some(&value.into()), detail)
    }

    pub(super) fn required(path: &str, detail: &str) -> Self {
        Self::new(path, Kind::Required, None, detail)
    }

    /// The API server says bytes even where it counts characters.
    pub(super) fn too_long(path: &str, max: i64) -> Self {
        let bytes = if max == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {max} {bytes}");
        Self::new(path, Kind::TooLong, None, &detail)
    }

    pub(super) fn too_many(path: &str, count: i64, max: i64) -> Self {
        let items = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {items}");
        Self::new(path, Kind::TooMany, Some(&count.into()), &detail)
    }
}
