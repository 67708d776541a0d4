//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use pushscale_injector::PROGRAM;

use command_line::{check_help, check_reference, config_file};

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    command_line::run(
        env!("CARGO_BIN_EXE_pushscale-injector"),
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
    let file = config_file("settings.yaml", "native_sidecar: true\nauth: none\n");
    let output = run(&["--config", &file, "--print-config"], &[("AUTH", "token")]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "native_sidecar = \"true\" # file",
        "auth = \"token\" # environment",
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
    let file = config_file("errors.yaml", "sidecar_imag: x\n");
    let output = run(
        &["--config", &file],
        &[
            ("NATIVE_SIDECAR", "yes"),
            ("AGGREGATOR", "http://there:8490/"),
        ],
    );
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let errors = String::from_utf8(output.stderr).unwrap();
    for error in [
        "sidecar_imag: unknown setting; did you mean sidecar_image?",
        "PUSHSCALE_INJECTOR_NATIVE_SIDECAR: is \"yes\": it must be auto, true or false",
        "PUSHSCALE_INJECTOR_AGGREGATOR: is",
    ] {
        assert!(errors.contains(error), "no {error} in:\n{errors}");
    }
    assert_eq!(errors.lines().count(), 3, "{errors}");
    let unknown = run(&["--verbose"], &[]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
}
