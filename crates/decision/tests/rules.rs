//! docs/RULES.md lists every rule with its file, its constants and a test; this compares it with the sources.
//!
//! docs/ALGORITHM.md repeats what leaving out a rule costs. `PUSHSCALE_GENERATE=1` copies it from docs/RULES.md.

#![cfg(test)]

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_decision::Rule;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of the page below a heading, up to the next one.
fn section(heading: &str) -> String {
    let page = fs::read_to_string(root().join("docs/RULES.md")).unwrap();
    let (_, rest) = page.split_once(&format!("## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The cells of each row of the table below a heading, without its head.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = section(heading);
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(cells).collect()
}

/// The cells of a row of a table.
fn cells(row: &str) -> Vec<String> {
    let cells = row.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().to_owned()).collect()
}

/// The words in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// All files below a directory whose names end in `.rs`.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The file, relative to the sources, and the name of each constant outside of tests.
fn constants() -> BTreeSet<(String, String)> {
    let directory = root().join("crates/decision/src");
    let mut found = BTreeSet::new();
    for file in sources(&directory) {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&directory).unwrap().to_str().unwrap();
        for line in text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap()
            .lines()
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = words.iter().position(|word| *word == "const");
            let constant = after.and_then(|at| words.get(at + 1)?.strip_suffix(':'));
            if let Some(constant) = constant
                && !line.trim_start().starts_with("//")
            {
                found.insert((name.to_owned(), constant.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_constant_belongs_to_a_rule_or_is_a_unit_or_bound() {
    let mut listed = BTreeSet::new();
    for (cells, (file, constants)) in [("Rules", (2, 3)), ("Other constants", (0, 1))]
        .into_iter()
        .flat_map(|(heading, columns)| rows(heading).into_iter().map(move |row| (row, columns)))
    {
        let file = quoted(&cells[file]).next().unwrap();
        for constant in quoted(&cells[constants]) {
            let is_new = listed.insert((file.to_owned(), constant.to_owned()));
            assert!(is_new, "{file} {constant} is listed twice");
        }
    }
    let found = constants();
    let missing: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(missing.is_empty(), "not in docs/RULES.md: {missing:?}");
    assert!(gone.is_empty(), "not in the sources: {gone:?}");
}

/// A constant of the same name with another value is mistaken for it.
#[test]
fn no_two_constants_have_the_same_name() {
    let mut names = BTreeSet::new();
    // A list of all values of an enum, and a zero, belong to their type.
    let named = constants()
        .into_iter()
        .filter(|(_, name)| !["ALL", "ZERO"].contains(&&**name));
    let twice: Vec<_> = named
        .filter(|(_, name)| !names.insert(name.clone()))
        .collect();
    assert!(twice.is_empty(), "the name of another constant: {twice:?}");
}

#[test]
fn every_rule_of_the_ablation_is_in_the_table() {
    let rows = rows("Rules");
    let listed: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let rules: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(listed, rules);
}

#[test]
fn the_algorithm_page_has_every_rule_with_the_figures_of_the_ablation() {
    let path = root().join("docs/ALGORITHM.md");
    let page = fs::read_to_string(&path).unwrap();
    let rows = rows("Rules");
    let mut listed = BTreeSet::new();
    let mut expected = String::new();
    for line in page.lines() {
        let cells = cells(line);
        let is_rule = line.starts_with("| `") && cells.len() == 4;
        let row = rows.iter().find(|row| is_rule && row[0] == cells[0]);
        let Some([name, _, _, _, _, shared, _, hostile]) = row.map(Vec::as_slice) else {
            writeln!(expected, "{line}").unwrap();
            continue;
        };
        listed.insert(quoted(name).next().unwrap());
        let rule = &cells[1];
        writeln!(expected, "| {name} | {rule} | {shared} | {hostile} |").unwrap();
    }
    let rules: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(listed, rules);
    if env::var_os("PUSHSCALE_GENERATE").is_some() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert_eq!(
            page, expected,
            "PUSHSCALE_GENERATE=1 copies the figures of docs/RULES.md"
        );
    }
}

#[test]
fn every_test_of_a_rule_exists() {
    let root = root();
    let mut code = String::new();
    for directory in [
        "crates/decision/src",
        "crates/decision/tests",
        "crates/simulator/tests",
    ] {
        for file in sources(&root.join(directory)) {
            code += &fs::read_to_string(file).unwrap();
        }
    }
    for row in rows("Rules") {
        let tests: Vec<&str> = quoted(&row[4]).collect();
        assert!(!tests.is_empty(), "no test of {}", row[1]);
        for test in tests {
            let case = [
                "crates/decision/testdata/model",
                "crates/decision/testdata/why",
                "crates/simulator/scenarios/hostile",
            ]
            .iter()
            .any(|directory| root.join(directory).join(format!("{test}.txt")).exists());
            assert!(
                case || code.contains(&format!("fn {test}(")),
                "{test} is neither a case nor a test"
            );
        }
    }
}
