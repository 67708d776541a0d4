//! `docs/SIMULATING.md` does what it says: its commands run and say what is shown, its tables are those of the program.
//!
//! What a command says is compared without its numbers: they change with every change of the decisions. With
//! `PUSHSCALE_GENERATE=1` what is shown, and the tables of keys and of others to compare with, are written anew.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_simulator::control::RIVALS;
use pushscale_simulator::scenario::{KEYS, Key};
use pushscale_simulator::traffic::Load;
use support::{folder, pushscale, words};

/// Output that is shown as this is not compared: it only has to come.
const ANYTHING: &str = "…\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SIMULATING.md")
}

/// What is in the document, or what it ought to be if it is to be written anew.
fn hold(found: &str, expected: &str) {
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

/// One test: the document is written once.
#[test]
fn its_commands_run_and_its_tables_are_the_programs() {
    let found = fs::read_to_string(document()).unwrap();
    let mut expected = with_table(&found, "| key |", &keys());
    expected = with_table(&expected, "| name |", &rivals());
    expected = with_outputs(&expected);
    hold(&found, &expected);
}

#[test]
fn its_loads_are_loads() {
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
fn its_figures_are_those_of_the_json() {
    let text = fs::read_to_string(document()).unwrap();
    let arguments = [
        "simulate",
        "--load",
        "flat:5",
        "--seconds",
        "60",
        "--target",
        "50ms",
        "--json",
        "-",
    ];
    let json = pushscale(&arguments, &folder("figures")).succeeded();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mean = json["scenarios"][0]["controllers"][0]["mean"]
        .as_object()
        .unwrap();
    for figure in mean.keys() {
        assert!(
            text.contains(&format!("`{figure}`")),
            "{figure} is not told"
        );
    }
}

fn keys() -> Vec<String> {
    let row = |key: &Key| format!("| `{}` | `{}` | {} |", key.name, key.example, key.meaning);
    KEYS.iter().map(row).collect()
}

fn rivals() -> Vec<String> {
    RIVALS
        .iter()
        .map(|(usage, meaning)| format!("| `{usage}` | {meaning} |"))
        .collect()
}

/// The document with these rows below the head that begins so.
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

/// The document with what its commands say. The files that it shows are written where they run, by the last name that
/// was told in the text before them or by the first name in the text behind them.
fn with_outputs(text: &str) -> String {
    let folder = folder("document");
    let mut parts: Vec<String> = text.split("```").map(str::to_owned).collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    let mut commands = 0;
    for index in (1..parts.len()).step_by(2) {
        let (language, body) = parts[index].split_once('\n').unwrap();
        match language {
            "text" | "yaml" => write(&folder, parts[index - 1].rsplit('`').nth(1), body),
            "csv" => write(&folder, parts[index + 1].split('`').nth(1), body),
            "console" => {
                let mut block = "console\n".to_owned();
                for shown in body.split("$ ").skip(1) {
                    let (command, output) = shown.split_once('\n').unwrap();
                    let said = run(command, &folder);
                    assert!(!said.is_empty() || command.contains("--json"), "{command}");
                    let said = if output == ANYTHING { ANYTHING } else { &said };
                    block.push_str(&format!("$ {command}\n{said}"));
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

fn write(folder: &Path, name: Option<&str>, text: &str) {
    let name = name.unwrap();
    assert!(name.contains('.'), "{name} is no name of a file");
    fs::write(folder.join(name), text).unwrap();
}

fn run(command: &str, folder: &Path) -> String {
    let words = words(command);
    let (program, arguments) = words.split_first().unwrap();
    assert_eq!(program, "pushscale");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    pushscale(&arguments, folder).succeeded()
}
