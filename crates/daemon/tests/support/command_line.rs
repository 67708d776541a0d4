//! The command line of a program as a user runs it. The tests of each program include this file.

use std::path::Path;
use std::process::{Command, Output};

use pushscale_daemon::config::Program;

/// Runs the program with these arguments and settings, and no other environment.
pub(crate) fn run(
    path: &str,
    program: &Program,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Output {
    Command::new(path)
        .args(arguments)
        .env_clear()
        .envs(
            environment
                .iter()
                .map(|(key, value)| (program.variable(key), value)),
        )
        .output()
        .unwrap()
}

/// Writes a config file, and returns its path.
pub(crate) fn config_file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Compares the help with the `help.txt` of the program's tests.
pub(crate) fn check_help(output: &Output) {
    assert!(output.status.success());
    let help = std::str::from_utf8(&output.stdout).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("PUSHSCALE_GENERATE").is_some() {
        std::fs::write(&golden, help).unwrap();
    }
    assert_eq!(help, std::fs::read_to_string(golden).unwrap());
}

/// Checks that the reference has the program's settings.
pub(crate) fn check_reference(program: &Program) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let rows = program.markdown_rows();
    assert!(
        reference.contains(&rows),
        "docs/REFERENCE.md must contain:\n{rows}"
    );
}
