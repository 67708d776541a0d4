//! What `metadata` may hold: names, labels, annotations.

use serde_json::Value;

use super::problem::Problem;

/// All annotations together. The one that kubectl adds is not counted here.
const ANNOTATION_BYTES: usize = 256 * 1024;

/// A sort of name: what fits, and how it is said that something does not.
struct Shape {
    fits: fn(&str) -> bool,
    words: &'static str,
    examples: &'static [&'static str],
    /// What fits, as a pattern. It is told, not matched.
    pattern: &'static str,
}

const LABEL: Shape = Shape {
    fits: is_label,
    words: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
            end with an alphanumeric character",
    examples: &["my-name", "123-abc"],
    pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
};

const SUBDOMAIN: Shape = Shape {
    fits: is_subdomain,
    words: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
            start and end with an alphanumeric character",
    examples: &["example.com"],
    pattern: r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
};

const KEY: Shape = Shape {
    fits: is_key,
    words: "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
            character",
    examples: &["MyName", "my.name", "123-abc"],
    pattern: "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
};

const VALUE: Shape = Shape {
    fits: |text| text.is_empty() || is_key(text),
    words: "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
            start and end with an alphanumeric character",
    examples: &["MyValue", "my_value", "12345"],
    pattern: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
};

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.bytes().all(is_inner) && begins_and_ends_well(text)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_key(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(is_inner) && begins_and_ends_well(text)
}

fn begins_and_ends_well(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter()
        .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

impl Shape {
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
}

/// All mistakes in the metadata of an object that kubectl could decode.
pub(super) fn check(object: &Value) -> Vec<Problem> {
    let metadata = &object["metadata"];
    let mut problems = Vec::new();
    let mut note = |field: &str, found: &str, mistakes: Vec<String>| {
        let field = format!("metadata.{field}");
        let mistakes = mistakes.into_iter();
        problems.extend(mistakes.map(|mistake| Problem::invalid(&field, found, mistake)));
    };
    if let Some(prefix) = text(&metadata["generateName"]) {
        // The server puts five characters behind it.
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
        note("labels", value, label_value(value));
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

/// Every owner must be told in full.
fn owners(references: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, owner) in references.as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(&owner[field]).is_none() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                problems.push(Problem::required(path, "must not be empty"));
            }
        }
    }
    problems
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn too_long(text: &str, most: usize, unit: &str) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} {unit}"))
}

fn label(text: &str) -> Vec<String> {
    let mut mistakes: Vec<_> = too_long(text, 63, "characters").into_iter().collect();
    if !(LABEL.fits)(text) {
        mistakes.push(if (SUBDOMAIN.fits)(text) {
            "must not contain dots".to_owned()
        } else {
            LABEL.expected()
        });
    }
    mistakes
}

fn subdomain(text: &str, unit: &str) -> Vec<String> {
    let mut mistakes: Vec<_> = too_long(text, 253, unit).into_iter().collect();
    if !(SUBDOMAIN.fits)(text) {
        mistakes.push(SUBDOMAIN.expected());
    }
    mistakes
}

fn label_value(text: &str) -> Vec<String> {
    let mut mistakes: Vec<_> = too_long(text, 63, "bytes").into_iter().collect();
    if !(VALUE.fits)(text) {
        mistakes.push(VALUE.expected());
    }
    mistakes
}

/// `name` or `prefix/name`.
fn qualified_name(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            let wrong = if prefix.is_empty() {
                vec!["must be non-empty".to_owned()]
            } else {
                subdomain(prefix, "bytes")
            };
            mistakes.extend(
                wrong
                    .into_iter()
                    .map(|wrong| format!("prefix part {wrong}")),
            );
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
        mistakes.push("name part must be non-empty".to_owned());
    } else if let Some(mistake) = too_long(name, 63, "bytes") {
        mistakes.push(format!("name part {mistake}"));
    }
    if !(KEY.fits)(name) {
        mistakes.push(format!("name part {}", KEY.expected()));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_fits_its_examples() {
        for shape in [LABEL, SUBDOMAIN, KEY, VALUE] {
            for example in shape.examples {
                assert!((shape.fits)(example), "{example}");
            }
            for wrong in ["-", "a-", "-a", "a b", "ä"] {
                assert!(!(shape.fits)(wrong), "{wrong}: {}", shape.pattern);
            }
        }
    }
}
