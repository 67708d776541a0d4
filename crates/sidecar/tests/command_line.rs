//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use pushscale_sidecar::PROGRAM;

use command_line::{check_help, check_reference, config_file};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    command_line::run(
        env!("CARGO_BIN_EXE_pushscale-sidecar"),
        &PROGRAM,
        arguments,
        environment,
    )
}

#[test]
fn help_lists_every_setting() {
    check_help(&run(&["--help"], &[]));
}

#[test]
fn the_reference_has_every_setting() {
    check_reference(&PROGRAM);
}

#[test]
fn print_config_names_the_source_of_each_setting() {
    let file = config_file(
        "settings.toml",
        "scrape_interval = \"5s\"\npod_name = \"file\"\n",
    );
    let output = run(
        &["--config", &file, "--print-config"],
        &[
            ("AGGREGATOR", "pushscale:8490"),
            ("POD_NAMESPACE", "models"),
            ("POD_NAME", "torchserve-0"),
            ("POD_UID", "u"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "aggregator = \"pushscale:8490\" # environment",
        "pod_name = \"torchserve-0\" # environment",
        "scrape_interval = \"5s\" # file",
        "push_timeout = \"2s\" # default",
        "# token_file is not set",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "no {line} in:\n{printed}"
        );
    }
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    let file = config_file("errors.toml", "scrape_intervall = \"5s\"\n");
    let output = run(
        &["--config", &file],
        &[
            ("AGGREGATOR", "http://there:1/x"),
            ("POD_NAMESPACE", "models"),
        ],
    );
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    for error in [
        "scrape_intervall: unknown setting; did you mean scrape_interval?",
        "PUSHSCALE_SIDECAR_AGGREGATOR: is",
        "PUSHSCALE_SIDECAR_POD_NAME: is required: `metadata.name`",
        "PUSHSCALE_SIDECAR_POD_UID: is required: `metadata.uid`",
    ] {
        assert!(errors.contains(error), "no {error} in:\n{errors}");
    }
    assert_eq!(errors.lines().count(), 4, "{errors}");
    let unknown = run(&["--verbose"], &[]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
}
