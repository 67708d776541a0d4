//! One mistake in one field, in the words of the API server.

use std::fmt;

use serde_json::Value;

use super::go;

/// One mistake in one field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    /// The field's path; empty for the object itself.
    pub(super) field: String,
    pub(super) found: Found,
    pub(super) detail: String,
}

/// What sort of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Required,
    Duplicate,
    Invalid,
    /// Written as Invalid is, and stands in the way of the rules.
    TypeInvalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
}

impl Kind {
    /// Whether the API server evaluates no rule on an object with such a mistake.
    pub(super) fn keeps_rules_from_running(self) -> bool {
        match self {
            Self::Required
            | Self::TypeInvalid
            | Self::NotSupported
            | Self::TooLong
            | Self::TooMany => true,
            Self::Duplicate | Self::Invalid | Self::Forbidden => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }

    /// Whether the value is told.
    fn tells(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong)
    }
}

/// What the field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Value(Value),
    /// Objects and lists that a rule refuses are not repeated.
    Omitted,
}

impl From<&Value> for Found {
    fn from(value: &Value) -> Self {
        Self::Value(value.clone())
    }
}

impl From<&str> for Found {
    fn from(text: &str) -> Self {
        Self::Value(Value::from(text))
    }
}

impl Problem {
    pub(super) fn new(
        kind: Kind,
        field: impl Into<String>,
        found: impl Into<Found>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            field: field.into(),
            found: found.into(),
            detail: detail.into(),
        }
    }

    pub(super) fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(Kind::Required, field, "", detail)
    }

    pub(super) fn invalid(
        field: impl Into<String>,
        found: impl Into<Found>,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Kind::Invalid, field, found, detail)
    }

    /// Bytes it says, even where it counted characters.
    pub(super) fn too_long(field: impl Into<String>, most: i64) -> Self {
        let bytes = if most == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {most} {bytes}");
        Self::new(Kind::TooLong, field, "", detail)
    }

    pub(super) fn too_many(field: impl Into<String>, count: usize, most: i64) -> Self {
        let items = if most == 1 { "item" } else { "items" };
        let detail = format!("must have at most {most} {items}");
        Self::new(Kind::TooMany, field, &Value::from(count), detail)
    }

    /// What is said after others that keep the rules from running.
    pub(super) fn rules_did_not_run() -> Self {
        Self::invalid(
            "",
            &Value::Null,
            "some validation rules were not checked because the object was invalid; \
             correct the existing errors to complete validation",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path of no elements is a nil pointer there.
        let field = if self.field.is_empty() {
            "<nil>"
        } else {
            &self.field
        };
        write!(formatter, "{field}: {}", self.kind.words())?;
        if let (true, Found::Value(value)) = (self.kind.tells(), &self.found) {
            write!(formatter, ": {}", go::value(value))?;
        }
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.detail)
    }
}
