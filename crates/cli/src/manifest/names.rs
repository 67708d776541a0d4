//! The values of `metadata`: names, labels, annotations, finalizers, owners.

use regex::Regex;
use serde_json::Value;

use super::problem::Problem;

/// The limit for all annotations together. The one that kubectl adds is not counted here.
const ANNOTATION_BYTES: usize = 256 * 1024;

/// The format of a name.
struct Format {
    words: &'static str,
    examples: &'static [&'static str],
    pattern: &'static str,
}

const LABEL: Format = Format {
    words: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
            end with an alphanumeric character",
    examples: &["my-name", "123-abc"],
    pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
};

const SUBDOMAIN: Format = Format {
    words: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
            start and end with an alphanumeric character",
    examples: &["example.com"],
    pattern: r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
};

const KEY: Format = Format {
    words: "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
            character",
    examples: &["MyName", "my.name", "123-abc"],
    pattern: "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
};

const VALUE: Format = Format {
    words: "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
            start and end with an alphanumeric character",
    examples: &["MyValue", "my_value", "12345"],
    pattern: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
};

impl Format {
    fn fits(&self, text: &str) -> bool {
        Regex::new(&format!("^(?:{})$", self.pattern)).is_ok_and(|pattern| pattern.is_match(text))
    }

    fn expected(&self) -> String {
        let examples: Vec<String> = self
            .examples
            .iter()
            .map(|example| format!("'{example}', "))
            .collect();
        format!(
            "{} (e.g. {}regex used for validation is '{}')",
            self.words,
            examples.join(" or "),
            self.pattern
        )
    }

    /// The errors of a text that must have this format and at most `max` bytes.
    fn errors(&self, text: &str, max: usize, unit: &str) -> Vec<String> {
        let too_long = too_long(text, max, unit).into_iter();
        too_long
            .chain((!self.fits(text)).then(|| self.expected()))
            .collect()
    }
}

/// Returns all errors in the metadata of an object that kubectl can decode.
pub(super) fn check(object: &Value) -> Vec<Problem> {
    let metadata = &object["metadata"];
    let mut problems = Vec::new();
    let mut note = |field: &str, value: &str, errors: Vec<String>| {
        let field = format!("metadata.{field}");
        let errors = errors.iter();
        problems.extend(errors.map(|error| Problem::invalid(&field, value, error)));
    };
    if let Some(prefix) = text(&metadata["generateName"]) {
        // The server appends five characters.
        let cut = prefix.strip_suffix('-').map(|start| format!("{start}a"));
        note(
            "generateName",
            prefix,
            subdomain(cut.as_deref().unwrap_or(prefix), "characters"),
        );
    }
    if let Some(name) = text(&metadata["name"]) {
        note("name", name, subdomain(name, "characters"));
    }
    if let Some(namespace) = text(&metadata["namespace"]) {
        note("namespace", namespace, label(namespace));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        note("labels", key, qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        note("labels", value, VALUE.errors(value, 63, "bytes"));
    }
    let mut bytes = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        note("annotations", key, qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().unwrap_or_default().len();
    }
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        note("finalizers", finalizer, qualified_name(finalizer));
    }
    if bytes > ANNOTATION_BYTES {
        problems.push(Problem::too_long("metadata.annotations", 262_144));
    }
    problems.extend(owners(&metadata["ownerReferences"]));
    problems
}

/// Every owner needs all of its fields.
fn owners(references: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, owner) in references.as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(&owner[field]).is_none() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                problems.push(Problem::required(&path, "must not be empty"));
            }
        }
    }
    problems
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn too_long(text: &str, max: usize, unit: &str) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} {unit}"))
}

fn label(text: &str) -> Vec<String> {
    let mut errors = LABEL.errors(text, 63, "characters");
    if !LABEL.fits(text) && SUBDOMAIN.fits(text) {
        errors.pop();
        errors.push("must not contain dots".to_owned());
    }
    errors
}

fn subdomain(text: &str, unit: &str) -> Vec<String> {
    SUBDOMAIN.errors(text, 253, unit)
}

/// Returns the errors of `name` or `prefix/name`.
fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            let wrong = if prefix.is_empty() {
                vec!["must be non-empty".to_owned()]
            } else {
                subdomain(prefix, "bytes")
            };
            errors.extend(wrong.iter().map(|wrong| format!("prefix part {wrong}")));
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                KEY.expected()
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    let wrong = KEY.errors(name, 63, "bytes");
    errors.extend(wrong.iter().map(|wrong| format!("name part {wrong}")));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_fits_its_examples() {
        for format in [LABEL, SUBDOMAIN, KEY, VALUE] {
            for example in format.examples {
                assert!(format.fits(example), "{example}");
            }
            for wrong in ["-", "a-", "-a", "a b", "ä"] {
                assert!(!format.fits(wrong), "{wrong}: {}", format.pattern);
            }
        }
    }
}
