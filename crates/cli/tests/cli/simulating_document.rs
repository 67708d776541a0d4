//! Checks that `docs/SIMULATING.md` is correct: its commands run and print the shown output, and its tables are those
//! of the program.
//!
//! Outputs are compared without their numbers, which change with every change of the decisions. `PUSHSCALE_GENERATE=1`
//! rewrites the outputs and the tables of keys and baselines.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_simulator::control::BASELINES;
use pushscale_simulator::scenario::{KEYS, Key};
use pushscale_simulator::traffic::Load;

use crate::commands::{directory, pushscale};

/// Output that is shown as this is not compared, but must not be empty.
const ANYTHING: &str = "…\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SIMULATING.md")
}

/// Compares the document with the expected one, or rewrites it.
fn check(found: &str, expected: &str) {
    if env::var_os("PUSHSCALE_GENERATE").is_some() {
        fs::write(document(), expected).unwrap();
    } else {
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(without_numbers(found), without_numbers(expected));
        }
        assert_eq!(found.lines().count(), expected.lines().count());
    }
}

fn without_numbers(line: &str) -> String {
    let is_number = |sign: char| sign.is_ascii_digit() || "(…).".contains(sign);
    let words = line.split_whitespace().map(|word| {
        let word = word.trim_end_matches("ms").trim_end_matches("us");
        let word = word.trim_end_matches('s');
        if word.chars().all(is_number) {
            "#"
        } else {
            word
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A single test, since it writes the document.
#[test]
fn commands_and_tables_match_the_program() {
    let found = fs::read_to_string(document()).unwrap();
    let mut expected = with_table(&found, "| key |", &keys());
    expected = with_table(&expected, "| name |", &baselines());
    expected = with_outputs(&expected);
    check(&found, &expected);
}

#[test]
fn the_loads_parse() {
    let text = fs::read_to_string(document()).unwrap();
    let rows = text.split("| load | what it is |").nth(1).unwrap();
    let rows = rows
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let loads: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(loads.len() >= 6);
    for load in loads {
        load.parse::<Load>()
            .unwrap_or_else(|error| panic!("{load}: {error}"));
    }
}

#[test]
fn the_figures_of_the_json_are_documented() {
    let text = fs::read_to_string(document()).unwrap();
    let arguments = "simulate --load flat:5 --seconds 60 --target 50ms --json -";
    let json = pushscale(arguments, &directory("figures")).succeeded();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mean = json["scenarios"][0]["controllers"][0]["mean"]
        .as_object()
        .unwrap();
    for figure in mean.keys() {
        assert!(
            text.contains(&format!("`{figure}`")),
            "{figure} is not documented"
        );
    }
}

fn keys() -> Vec<String> {
    let row = |key: &Key| format!("| `{}` | `{}` | {} |", key.name, key.example, key.meaning);
    KEYS.iter().map(row).collect()
}

fn baselines() -> Vec<String> {
    BASELINES
        .iter()
        .map(|(usage, meaning)| format!("| `{usage}` | {meaning} |"))
        .collect()
}

/// Replaces the rows below the table head that starts with `head`.
fn with_table(text: &str, head: &str, rows: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with(head))
        .unwrap()
        + 2;
    let old = lines[first..]
        .iter()
        .take_while(|line| line.starts_with('|'));
    let last = first + old.count();
    lines.splice(first..last, rows.iter().cloned());
    lines.join("\n") + "\n"
}

/// Replaces the outputs of the commands. The shown files are written to the directory in which the commands run: by the
/// last name in the text before them, or by the first name in the text after them.
fn with_outputs(text: &str) -> String {
    let directory = directory("document");
    let mut parts: Vec<String> = text.split("```").map(str::to_owned).collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    let mut commands = 0;
    for index in (1..parts.len()).step_by(2) {
        let (language, body) = parts[index].split_once('\n').unwrap();
        match language {
            "text" | "yaml" => write(&directory, parts[index - 1].rsplit('`').nth(1), body),
            "csv" => write(&directory, parts[index + 1].split('`').nth(1), body),
            "console" => {
                let mut block = "console\n".to_owned();
                for shown in body.split("$ ").skip(1) {
                    let (command, output) = shown.split_once('\n').unwrap();
                    let printed = run(command, &directory);
                    assert!(
                        !printed.is_empty() || command.contains("--json"),
                        "{command}"
                    );
                    let shown = if output == ANYTHING {
                        ANYTHING
                    } else {
                        &printed
                    };
                    block.push_str(&format!("$ {command}\n{shown}"));
                    commands += 1;
                }
                parts[index] = block;
            }
            other => panic!("a block of {other}"),
        }
    }
    assert!(commands >= 8);
    parts.join("```")
}

fn write(directory: &Path, name: Option<&str>, text: &str) {
    let name = name.unwrap();
    assert!(name.contains('.'), "{name} is not a file name");
    fs::write(directory.join(name), text).unwrap();
}

fn run(command: &str, directory: &Path) -> String {
    let arguments = command.strip_prefix("pushscale ").unwrap();
    pushscale(arguments, directory).succeeded()
}
