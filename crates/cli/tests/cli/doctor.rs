//! The checks of `pushscale doctor` against the files in `testdata/doctor`.
//!
//! `healthy.yaml` is a cluster in which nothing is wrong. Every other file says in its first line what is broken, and
//! in the lines below it which rows must fail or be skipped: `# FAIL CHECK: PART OF THE ROW`, `# skip CHECK: PART`. It
//! has the objects that differ: each is merged into the one of the same kind and name, and `delete: true` removes it.
//! The expected output is in the `.txt` file of the same name; `PUSHSCALE_GENERATE=1` rewrites it, but not the rows.

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_cli::doctor::{Finding, Snapshot, diagnose, exit_code, render};
use serde_json::{Map, Value};

use crate::golden;

/// The time of all cases.
const NOW: &str = "2026-01-31T12:00:00Z";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/doctor")
}

fn objects(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn identity(object: &Value) -> (Value, Value, Value) {
    let metadata = &object["metadata"];
    (
        object["kind"].clone(),
        metadata["namespace"].clone(),
        metadata["name"].clone(),
    )
}

/// JSON merge patch (RFC 7386).
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let into = into.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            into.remove(&key);
        } else {
            merge(into.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// A row that is meant to fail or to be skipped.
#[derive(Debug)]
struct Row<'a> {
    is_failure: bool,
    check: &'a str,
    /// A part of what the check has seen.
    seen: &'a str,
}

impl<'a> Row<'a> {
    /// Parses `# FAIL CHECK: PART` and `# skip CHECK: PART`.
    fn parse(line: &'a str) -> Option<Self> {
        let (is_failure, rest) = match line.strip_prefix("# FAIL ") {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix("# skip ")?),
        };
        let (check, seen) = rest.split_once(": ")?;
        Some(Self {
            is_failure,
            check,
            seen,
        })
    }

    fn is(&self, finding: &Finding) -> bool {
        self.is_failure == finding.problem.is_some()
            && self.check == finding.check
            && finding.seen.contains(self.seen)
    }
}

/// Asserts that exactly these rows fail or are skipped, in this order, and that the exit code says whether one fails.
fn check_rows(case: &str, findings: &[Finding], expected: &[Row<'_>]) {
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.problem.is_some() || finding.skipped)
        .collect();
    let agrees = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(finding, row)| row.is(finding));
    assert!(agrees, "{case}: {found:#?}\n  instead of {expected:#?}");
    let code = u8::from(expected.iter().any(|row| row.is_failure));
    assert_eq!(exit_code(findings), code, "{case}: {found:#?}");
}

/// Returns the findings in the healthy cluster with these changes.
fn doctor(changes: Vec<Value>) -> Vec<Finding> {
    let mut all = objects(&fs::read_to_string(directory().join("healthy.yaml")).unwrap());
    for change in changes {
        let known = all
            .iter()
            .position(|object| identity(object) == identity(&change));
        match known {
            Some(index) if change["delete"] == true => {
                all.remove(index);
            }
            Some(index) => merge(&mut all[index], change),
            None => all.push(change),
        }
    }
    let mut snapshot = Snapshot::new(NOW.parse().unwrap());
    for object in all {
        snapshot.add(object).unwrap();
    }
    diagnose(&snapshot)
}

#[test]
fn findings_match_the_expected_texts() {
    let mut wrong = Vec::new();
    for file in golden::files("testdata/doctor", ".yaml", 20) {
        let is_healthy = file.ends_with("healthy.yaml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# "), "{}: no first line", file.display());
        let changes = if is_healthy {
            Vec::new()
        } else {
            objects(&text)
        };
        let findings = doctor(changes);
        let rows: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(Row::parse)
            .collect();
        assert_eq!(rows.is_empty(), is_healthy, "{}", file.display());
        check_rows(&file.display().to_string(), &findings, &rows);
        let found = render(&findings, !is_healthy, false);
        if !golden::matches(&file.with_extension("txt"), &found) {
            wrong.push(format!("{}\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
