//! Runs the command in the first line of each `testdata/trace-import/*.txt` in that directory. The other lines are the
//! expected output: the trace, the summary or the error, and the exit status. `PUSHSCALE_GENERATE=1` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use pushscale_cli::fuzzing::import;
use pushscale_simulator::traffic::parse_trace;

use crate::commands::{directory, pushscale, words};
use crate::golden;

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/trace-import")
}

/// Runs a command line and returns its standard output, its messages and its exit status.
fn run(command: &str) -> (String, String, i32) {
    let words = words(command);
    let (program, arguments) = words.split_first().unwrap();
    assert_eq!(program, "pushscale");
    let output = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(arguments)
        .current_dir(inputs())
        .output()
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap(),
    )
}

#[test]
fn imported_files_match_the_expected_traces_and_messages() {
    for case in golden::files("testdata/trace-import", ".txt", 36) {
        let expected = fs::read_to_string(&case).unwrap();
        let name = case.file_stem().unwrap().to_str().unwrap();
        let command = expected.lines().next().unwrap().strip_prefix("$ ").unwrap();
        let (trace, messages, status) = run(command);
        let is_rejected = name.starts_with("rejected-") || name.ends_with("-match-of-nothing");
        assert_eq!(status == 0, !is_rejected, "{name}: {messages}");
        if is_rejected {
            assert_eq!(status, 2, "{name}");
            assert_eq!(trace, "", "{name}");
        } else {
            parse_trace(name, &trace).unwrap_or_else(|error| panic!("{error}"));
        }
        let found = format!("$ {command}\n{trace}{messages}exit status: {status}\n");
        golden::check(&case, &found);
    }
}

#[test]
fn an_imported_trace_can_be_simulated() {
    let directory = directory("imported");
    let log = inputs().join("combined.log");
    let output = directory.join("load.csv");
    let arguments = [
        "trace",
        "import",
        "-o",
        output.to_str().unwrap(),
        log.to_str().unwrap(),
    ];
    let imported = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(imported.status.success());
    let summary = String::from_utf8(imported.stdout).unwrap();
    assert!(
        summary.starts_with("4 s from 2026-01-05T08:00:00Z: 5 requests"),
        "{summary}"
    );
    assert!(
        summary.contains("next: pushscale simulate --trace "),
        "{summary}"
    );
    let arguments = "simulate --trace load.csv --target 50ms";
    let table = pushscale(arguments, &directory).succeeded();
    assert!(
        table.starts_with("load.csv\nload.csv, 4 s, seed 1\n"),
        "{table}"
    );
}

#[test]
fn a_gap_is_listed_by_the_simulation() {
    let directory = directory("gaps");
    let (trace, _, _) = run("pushscale trace import pause.log --gap 3s");
    fs::write(directory.join("load.csv"), trace).unwrap();
    let arguments = "simulate --trace load.csv --target 50ms --json -";
    let json = pushscale(arguments, &directory).succeeded();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["scenarios"][0]["unknown_seconds"], 4);
    let table = pushscale("simulate --trace load.csv --target 50ms", &directory).succeeded();
    let line = "unknown: 4 s of the trace (1..5) have no data; their arrivals are interpolated from the surrounding minutes\n";
    assert!(table.contains(line), "{table}");
}

/// Pieces of which files are made that are almost valid.
const PIECES: [&str; 20] = [
    "2026-01-05T08:00:00Z",
    "2026-01-05 08:00:07,123",
    "[05/Jan/2026:08:00:03 +0100]",
    "1767600000",
    "1767600015000",
    "time",
    "requests",
    "rate",
    ",",
    "\n",
    "\"",
    "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[",
    "{\"metric\":{},\"values\":[",
    "[1767600000,\"5\"]",
    "]}",
    "]}}",
    "NaN",
    "12.5",
    "é",
    "-",
];

proptest! {
    #[test]
    fn files_of_any_content_are_imported_or_rejected(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24),
        noise in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut text = pieces.concat().into_bytes();
        text.extend(noise);
        for (format, is_counter) in [("access-log", false), ("csv", false), ("prometheus", false), ("prometheus", true)] {
            match import(format, &text, is_counter) {
                Ok(trace) => prop_assert!(parse_trace("trace", &trace).is_ok(), "{}", trace),
                Err(error) => prop_assert!(error.to_string().starts_with("input"), "{}", error),
            }
        }
    }
}
