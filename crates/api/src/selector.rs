//! Parses label selectors, such as the text in a scale's status or a request's `labelSelector`.
//!
//! The grammar is that of the API machinery (`labels.Parse`): requirements separated by commas, each of which is `key`,
//! `!key`, `key=value`, `key==value`, `key!=value`, `key in (a,b)` or `key notin (a,b)`.

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

/// Parses a selector.
///
/// # Errors
/// The requirement that is not one.
pub fn parse(text: &str) -> Result<Selector, String> {
    let mut requirements = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = end_of_requirement(rest);
        let requirement = rest[..end].trim();
        let parsed = parse_requirement(requirement);
        requirements.push(parsed.ok_or_else(|| format!("{requirement:?} is not a requirement"))?);
        rest = rest[end..].trim_start_matches(',').trim_start();
    }
    Ok(requirements.into_iter().collect())
}

/// Returns the position of the comma that ends the first requirement. Commas in parentheses separate values.
fn end_of_requirement(text: &str) -> usize {
    let mut depth = 0_u32;
    let end = text.find(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    end.unwrap_or(text.len())
}

fn parse_requirement(text: &str) -> Option<Expression> {
    if let Some(key) = text.strip_prefix('!') {
        return Some(Expression::DoesNotExist(label(key)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Expression::NotEqual(label(key)?, value_of(value)?));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Expression::Equal(label(key)?, value_of(value)?));
    }
    let Some((key, operator)) = text.split_once(char::is_whitespace) else {
        return Some(Expression::Exists(label(text)?));
    };
    let operator = operator.trim();
    if let Some(values) = operator.strip_prefix("notin") {
        return Some(Expression::NotIn(label(key)?, set(values)?));
    }
    let values = operator.strip_prefix("in")?;
    Some(Expression::In(label(key)?, set(values)?))
}

fn set(text: &str) -> Option<BTreeSet<String>> {
    let values = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    values.split(',').map(value_of).collect()
}

/// A label's key. Not empty.
fn label(text: &str) -> Option<String> {
    let key = value_of(text)?;
    (!key.is_empty()).then_some(key)
}

/// A label's value, which may be empty.
fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    let valid = text
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "-_./".contains(character));
    valid.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn selectors_select_as_the_api_server_does() {
        for (selector, pod, selected) in [
            ("app=a", "app=a x=y", true),
            ("app==a", "app=b", false),
            ("app=a,tier=front", "app=a tier=front", true),
            ("app=a, tier=front", "app=a", false),
            ("app!=a", "app=b", true),
            ("app!=a", "", true),
            ("app in (a, b),tier notin (front,back)", "app=b", true),
            ("app in (a,b)", "app=c", false),
            ("tier notin (front)", "tier=front", false),
            ("example.com/app,!canary", "example.com/app=x", true),
            (
                "example.com/app,!canary",
                "example.com/app=x canary=1",
                false,
            ),
            ("app=", "app=", true),
        ] {
            let parsed = parse(selector).unwrap();
            assert_eq!(parsed.matches(&labels(pod)), selected, "{selector}: {pod}");
        }
    }

    #[test]
    fn errors_name_the_invalid_requirement() {
        for (selector, named) in [
            ("app=a b", "app=a b"),
            ("=a", "=a"),
            ("app in a", "app in a"),
            ("x=y,app in (a", "app in (a"),
            ("app=a,,tier=b", ""),
        ] {
            if named.is_empty() {
                // The API server ignores an empty requirement as well.
                assert!(parse(selector).is_ok());
                continue;
            }
            let error = parse(selector).unwrap_err();
            assert!(error.contains(named), "{selector}: {error}");
        }
    }
}
