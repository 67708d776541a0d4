//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use command_line::CommandLine;
use pushscale_sidecar::PROGRAM;

static SIDECAR: CommandLine = CommandLine(&PROGRAM, env!("CARGO_BIN_EXE_pushscale-sidecar"));

#[test]
fn help_lists_every_setting() {
    SIDECAR.check_help();
}

#[test]
fn the_reference_has_every_setting() {
    SIDECAR.check_reference();
}

#[test]
fn print_config_names_the_source_of_each_setting() {
    SIDECAR.check_printed(
        (
            "settings.toml",
            "scrape_interval = \"5s\"\npod_name = \"file\"\n",
        ),
        &[
            ("AGGREGATOR", "pushscale:8490"),
            ("POD_NAMESPACE", "models"),
            ("POD_NAME", "torchserve-0"),
            ("POD_UID", "u"),
        ],
        &[
            "aggregator = \"pushscale:8490\" # environment",
            "pod_name = \"torchserve-0\" # environment",
            "scrape_interval = \"5s\" # file",
            "push_timeout = \"2s\" # default",
            "# token_file is not set",
        ],
    );
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    SIDECAR.check_errors(
        ("errors.toml", "scrape_intervall = \"5s\"\n"),
        &[
            ("AGGREGATOR", "http://there:1/x"),
            ("POD_NAMESPACE", "models"),
        ],
        &[
            "scrape_intervall: unknown setting; did you mean scrape_interval?",
            "PUSHSCALE_SIDECAR_AGGREGATOR: is",
            "PUSHSCALE_SIDECAR_POD_NAME: is required: `metadata.name`",
            "PUSHSCALE_SIDECAR_POD_UID: is required: `metadata.uid`",
        ],
    );
}
