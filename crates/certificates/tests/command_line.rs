//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use command_line::CommandLine;
use pushscale_certificates::PROGRAM;

static CERTIFICATES: CommandLine =
    CommandLine(&PROGRAM, env!("CARGO_BIN_EXE_pushscale-certificates"));

#[test]
fn help_lists_every_setting() {
    CERTIFICATES.check_help();
}

#[test]
fn the_reference_has_every_setting() {
    CERTIFICATES.check_reference();
}

#[test]
fn print_config_names_the_source_of_each_setting() {
    CERTIFICATES.check_printed(
        ("settings.yaml", "tls_mode: files\nca_grace: 2h\n"),
        &[("CA_GRACE", "3h")],
        &[
            "tls_mode = \"files\" # file",
            "ca_grace = \"3h\" # environment",
            "tls_dir = \"/etc/pushscale/tls\" # default",
            "# pod_namespace is not set",
        ],
    );
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    CERTIFICATES.check_errors(
        ("errors.yaml", "ca_graze: 1h\n"),
        &[("TLS_MODE", "disabled"), ("CA_GRACE", "soon")],
        &[
            "ca_graze: unknown setting; did you mean ca_grace?",
            "PUSHSCALE_CERTIFICATES_TLS_MODE: is \"disabled\": it must be self-signed or files",
            "PUSHSCALE_CERTIFICATES_CA_GRACE: is \"soon\"",
        ],
    );
}
