//! The command line of a program as a user runs it. The tests of each program include this file.

#[path = "golden.rs"]
mod golden;

use std::path::Path;
use std::process::{Command, Output};

use pushscale_daemon::config::Program;

/// A program, and the path of its binary.
pub(crate) struct CommandLine(pub(crate) &'static Program, pub(crate) &'static str);

/// Settings by name, in the environment.
type Environment<'a> = &'a [(&'a str, &'a str)];

impl CommandLine {
    /// Runs the program with these arguments and settings, and no other environment.
    fn run(&self, arguments: &[&str], environment: Environment<'_>) -> Output {
        let variables = environment
            .iter()
            .map(|(key, value)| (self.0.variable(key), value));
        Command::new(self.1)
            .args(arguments)
            .env_clear()
            .envs(variables)
            .output()
            .unwrap()
    }

    /// Compares the help with the `help.txt` of the program's tests.
    pub(crate) fn check_help(&self) {
        let output = self.run(&["--help"], &[]);
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
        golden::check(&file, &help);
    }

    /// Checks that the reference has the program's settings.
    pub(crate) fn check_reference(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md");
        let reference = std::fs::read_to_string(path).unwrap();
        let rows = self.0.markdown_rows();
        assert!(
            reference.contains(&rows),
            "docs/REFERENCE.md must contain:\n{rows}"
        );
    }

    /// Checks that `--print-config` prints these lines, with this file of settings.
    pub(crate) fn check_printed(
        &self,
        (file, text): (&str, &str),
        environment: Environment<'_>,
        lines: &[&str],
    ) {
        let file = config_file(file, text);
        let output = self.run(&["--config", &file, "--print-config"], environment);
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        for line in lines {
            assert!(
                printed.lines().any(|printed| printed == *line),
                "no {line} in:\n{printed}"
            );
        }
    }

    /// Checks that the program prints exactly these errors of its configuration, one per line, and exits with 64; and
    /// that it exits with 64 after an unknown argument.
    pub(crate) fn check_errors(
        &self,
        (file, text): (&str, &str),
        environment: Environment<'_>,
        errors: &[&str],
    ) {
        let file = config_file(file, text);
        let output = self.run(&["--config", &file], environment);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let found = String::from_utf8(output.stderr).unwrap();
        for error in errors {
            assert!(found.contains(error), "no {error} in:\n{found}");
        }
        assert_eq!(found.lines().count(), errors.len(), "{found}");
        let unknown = self.run(&["--verbose"], &[]);
        assert_eq!(unknown.status.code(), Some(64), "{unknown:?}");
    }
}

/// Writes a config file, and returns its path.
fn config_file(name: &str, text: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
