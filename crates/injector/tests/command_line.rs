//! `--help`, `--config` and `--print-config`, as a user runs the program.

#![cfg(test)]

#[path = "../../daemon/tests/support/command_line.rs"]
mod command_line;

use command_line::CommandLine;
use pushscale_injector::PROGRAM;

static INJECTOR: CommandLine = CommandLine(&PROGRAM, env!("CARGO_BIN_EXE_pushscale-injector"));

#[test]
fn help_lists_every_setting() {
    INJECTOR.check_help();
}

#[test]
fn the_reference_has_every_setting() {
    INJECTOR.check_reference();
}

#[test]
fn print_config_names_the_source_of_each_setting() {
    INJECTOR.check_printed(
        ("settings.yaml", "native_sidecar: true\nauth: none\n"),
        &[("AUTH", "token")],
        &[
            "native_sidecar = \"true\" # file",
            "auth = \"token\" # environment",
            "tls_dir = \"/etc/pushscale/tls\" # default",
            "# pod_namespace is not set",
        ],
    );
}

#[test]
fn all_config_errors_are_printed_and_exit_with_64() {
    INJECTOR.check_errors(
        ("errors.yaml", "sidecar_imag: x\n"),
        &[
            ("NATIVE_SIDECAR", "yes"),
            ("AGGREGATOR", "http://there:8490/"),
        ],
        &[
            "sidecar_imag: unknown setting; did you mean sidecar_image?",
            "PUSHSCALE_INJECTOR_NATIVE_SIDECAR: is \"yes\": it must be auto, true or false",
            "PUSHSCALE_INJECTOR_AGGREGATOR: is",
        ],
    );
}
