//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use command_line::CommandLine;
use pushscale_aggregator::PROGRAM;

static AGGREGATOR: CommandLine = CommandLine(&PROGRAM, env!("CARGO_BIN_EXE_pushscale-aggregator"));

#[test]
fn help_lists_every_setting() {
    AGGREGATOR.check_help();
}

#[test]
fn the_reference_has_every_setting() {
    AGGREGATOR.check_reference();
}

#[test]
fn print_config_names_the_source_of_each_setting() {
    AGGREGATOR.check_printed(
        ("settings.yaml", "max_connections: 100\nauth: token\n"),
        &[("AUTH", "none")],
        &[
            "max_connections = \"100\" # file",
            "auth = \"none\" # environment",
            "tls_mode = \"disabled\" # default",
            "# watch_namespace is not set",
        ],
    );
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    AGGREGATOR.check_errors(
        ("errors.yaml", "max_connection: 100\nauth: some\n"),
        &[("TLS_MODE", "self-signed"), ("LOG_LEVEL", "loud")],
        &[
            "max_connection: unknown setting; did you mean max_connections?",
            "auth: is \"some\": it must be none or token",
            "PUSHSCALE_AGGREGATOR_TLS_MODE: is \"self-signed\": it must be disabled or files",
            "PUSHSCALE_AGGREGATOR_LOG_LEVEL: is \"loud\"",
        ],
    );
}
