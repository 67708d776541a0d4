//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use pushscale_certificates::PROGRAM;

use command_line::{check_help, check_reference, config_file};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    command_line::run(
        env!("CARGO_BIN_EXE_pushscale-certificates"),
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
    let file = config_file("settings.yaml", "tls_mode: files\nca_grace: 2h\n");
    let output = run(
        &["--config", &file, "--print-config"],
        &[("CA_GRACE", "3h")],
    );
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "tls_mode = \"files\" # file",
        "ca_grace = \"3h\" # environment",
        "tls_dir = \"/etc/pushscale/tls\" # default",
        "# pod_namespace is not set",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "no {line} in:\n{printed}"
        );
    }
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    let file = config_file("errors.yaml", "ca_graze: 1h\n");
    let output = run(
        &["--config", &file],
        &[("TLS_MODE", "disabled"), ("CA_GRACE", "soon")],
    );
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    for error in [
        "ca_graze: unknown setting; did you mean ca_grace?",
        "PUSHSCALE_CERTIFICATES_TLS_MODE: is \"disabled\": it must be self-signed or files",
        "PUSHSCALE_CERTIFICATES_CA_GRACE: is \"soon\"",
    ] {
        assert!(errors.contains(error), "no {error} in:\n{errors}");
    }
    assert_eq!(errors.lines().count(), 3, "{errors}");
    let unknown = run(&["--verbose"], &[]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
}
