//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

use pushscale_certificates::PROGRAM;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pushscale-certificates"))
        .args(arguments)
        .env_clear()
        .envs(
            environment
                .iter()
                .map(|(key, value)| (PROGRAM.variable(key), value)),
        )
        .output()
        .unwrap()
}

fn config_file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn help_lists_every_setting() {
    let output = run(&["--help"], &[]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("PUSHSCALE_GENERATE").is_some() {
        std::fs::write(&golden, &help).unwrap();
    }
    assert_eq!(help, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn the_reference_has_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let rows = PROGRAM.markdown_rows();
    assert!(
        reference.contains(&rows),
        "docs/REFERENCE.md must contain:\n{rows}"
    );
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
