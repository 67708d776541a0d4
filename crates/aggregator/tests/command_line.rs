//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use pushscale_aggregator::PROGRAM;

use command_line::{check_help, check_reference, config_file};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    command_line::run(
        env!("CARGO_BIN_EXE_pushscale-aggregator"),
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
    let file = config_file("settings.yaml", "max_connections: 100\nauth: token\n");
    let output = run(&["--config", &file, "--print-config"], &[("AUTH", "none")]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "max_connections = \"100\" # file",
        "auth = \"none\" # environment",
        "tls_mode = \"disabled\" # default",
        "# watch_namespace is not set",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "no {line} in:\n{printed}"
        );
    }
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    let file = config_file("errors.yaml", "max_connection: 100\nauth: some\n");
    let output = run(
        &["--config", &file],
        &[("TLS_MODE", "self-signed"), ("LOG_LEVEL", "loud")],
    );
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    for error in [
        "max_connection: unknown setting; did you mean max_connections?",
        "auth: is \"some\": it must be none or token",
        "PUSHSCALE_AGGREGATOR_TLS_MODE: is \"self-signed\": it must be disabled or files",
        "PUSHSCALE_AGGREGATOR_LOG_LEVEL: is \"loud\"",
    ] {
        assert!(errors.contains(error), "no {error} in:\n{errors}");
    }
    assert_eq!(errors.lines().count(), 4, "{errors}");
    let unknown = run(&["--verbose"], &[]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
}
