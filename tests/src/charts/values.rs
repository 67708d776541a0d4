//! Parses an annotated values.yaml: the comment above each key, and the hints in lines that start with `# @`.

use serde_json::Value;

/// One key of a values.yaml.
#[derive(Debug)]
pub struct Key {
    /// The names of its parents and its own.
    pub path: Vec<String>,
    /// The comment above it, in one line.
    pub what: String,
    /// The hints: keywords of JSON Schema, and `k8s`, `crd`, `map`, `try`, `with`.
    pub hints: Value,
    /// The default value.
    pub default: Value,
    /// Whether it has child keys instead of a value.
    pub is_section: bool,
}

impl Key {
    /// Returns the names joined by dots.
    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

/// Parses all keys of a values.yaml, in order.
///
/// # Panics
/// A line is neither a comment nor a key nor part of a value.
pub fn keys(text: &str) -> Vec<Key> {
    let values: Value = serde_saphyr::from_str(text).unwrap();
    let mut keys: Vec<Key> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut comment = Comment::default();
    // The indentation of a key whose value is on the lines below it.
    let mut inside: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim().is_empty() {
            comment = Comment::default();
            continue;
        }
        if inside.is_some_and(|outer| indent > outer) {
            continue;
        }
        inside = None;
        if let Some(text) = line.trim_start().strip_prefix('#') {
            comment.add(text.strip_prefix(' ').unwrap_or(text));
            continue;
        }
        let (name, value) = line
            .trim_start()
            .split_once(':')
            .unwrap_or_else(|| panic!("not a key: {line}"));
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, name.to_owned()));
        let Comment { what, hints } = std::mem::take(&mut comment);
        let hints = if hints.is_empty() {
            Value::Object(serde_json::Map::default())
        } else {
            serde_saphyr::from_str(&hints)
                .unwrap_or_else(|error| panic!("the hints of {name}: {error}: {hints}"))
        };
        let is_open = ["k8s", "crd", "map", "type"]
            .iter()
            .any(|word| !hints[*word].is_null());
        let is_section = value.trim().is_empty() && !is_open;
        if is_open {
            inside = Some(indent);
        }
        let path: Vec<_> = path.iter().map(|(_, name)| name.clone()).collect();
        let default = path
            .iter()
            .fold(&values, |value, name| &value[name.as_str()])
            .clone();
        keys.push(Key {
            path,
            what,
            hints,
            default,
            is_section,
        });
    }
    keys
}

#[derive(Default)]
struct Comment {
    what: String,
    hints: String,
}

impl Comment {
    fn add(&mut self, line: &str) {
        let (text, line) = match line.strip_prefix("@ ") {
            Some(hint) => (&mut self.hints, hint),
            None => (&mut self.what, line),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_comment_and_its_hints() {
        let text = "# Of the file.\n\n# Two\n# lines.\nouter:\n  # Inner.\n  # @ {try: 5}\n  inner: 4\n\
                    # Open.\n# @ {map: string}\nopen:\n  any: thing\n# Last.\nlast: []\n";
        let parsed: Vec<_> = keys(text)
            .iter()
            .map(|key| {
                format!(
                    "{} | {} | {} | {} | {}",
                    key.name(),
                    key.what,
                    key.hints,
                    key.default,
                    key.is_section
                )
            })
            .collect();
        assert_eq!(
            parsed,
            [
                r#"outer | Two lines. | {} | {"inner":4} | true"#,
                r#"outer.inner | Inner. | {"try":5} | 4 | false"#,
                r#"open | Open. | {"map":"string"} | {"any":"thing"} | false"#,
                "last | Last. | {} | [] | false",
            ]
        );
    }
}
