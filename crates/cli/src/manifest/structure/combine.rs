//! `anyOf`, `oneOf`, `allOf` and `not`.

use serde_json::Value;

use super::super::go;
use super::super::schema::Schema;
use super::{Findings, check_value, loose};

pub(super) fn check(schema: &Schema, value: &Value, path: &str) -> Findings {
    let mut findings = Findings::default();
    any_of(&schema.any_of, value, path, &mut findings);
    one_of(&schema.one_of, value, path, &mut findings);
    all_of(&schema.all_of, value, path, &mut findings);
    if let Some(not) = &schema.not
        && check_value(not, value, path).is_valid()
    {
        findings.push(says(path, "must not validate the schema (not)"));
    }
    findings.matched += 1;
    findings
}

fn any_of(schemas: &[Schema], value: &Value, path: &str, findings: &mut Findings) {
    let mut best: Option<Findings> = None;
    for schema in schemas {
        let result = check_value(schema, value, path);
        if result.is_valid() {
            findings.merge(result);
            return;
        }
        best = better(best, result);
    }
    if let Some(best) = best {
        findings.push(says(path, "must validate at least one schema (anyOf)"));
        findings.merge(best);
    }
}

fn one_of(schemas: &[Schema], value: &Value, path: &str, findings: &mut Findings) {
    let mut best: Option<Findings> = None;
    let mut first_valid: Option<Findings> = None;
    let mut valid = 0_usize;
    for schema in schemas {
        let result = check_value(schema, value, path);
        if result.is_valid() {
            valid += 1;
            best = None;
            first_valid.get_or_insert(result);
        } else if valid == 0 {
            best = better(best, result);
        }
    }
    match (valid, first_valid) {
        (0, _) if schemas.is_empty() => {}
        (1, Some(only)) => findings.merge(only),
        (0, _) => {
            let words = "must validate one and only one schema (oneOf). Found none valid";
            findings.push(says(path, words));
            findings.merge(best.unwrap_or_default());
        }
        _ => {
            let words = "must validate one and only one schema (oneOf). Found";
            findings.push(says(path, &format!("{words} {valid} valid alternatives")));
        }
    }
}

fn all_of(schemas: &[Schema], value: &Value, path: &str, findings: &mut Findings) {
    let mut valid = 0;
    for schema in schemas {
        let result = check_value(schema, value, path);
        valid += usize::from(result.is_valid());
        findings.merge(result);
    }
    if valid < schemas.len() {
        let none = if valid == 0 { ". None validated" } else { "" };
        findings.push(says(
            path,
            &format!("must validate all the schemas (allOf){none}"),
        ));
    }
}

/// The one of which more was found right; the earlier of two equal ones.
fn better(best: Option<Findings>, other: Findings) -> Option<Findings> {
    match best {
        Some(best) if best.matched >= other.matched => Some(best),
        _ => Some(other),
    }
}

fn says(path: &str, words: &str) -> super::Problem {
    loose(format!("{} {words}", go::quoted(path)))
}
