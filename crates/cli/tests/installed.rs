//! What `make install` makes of the program: completion scripts and man pages. The tests of the cluster have
//! the plugin of kubectl.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pushscale");

const COMMANDS: [&str; 8] = [
    "adopt",
    "completions",
    "demo",
    "doctor",
    "explain",
    "inject",
    "simulate",
    "status",
];

fn output(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let script = output(&["completions", "bash"]);
    let checked = Command::new("bash").args(["-n", "-c", &script]).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert!(checked.stderr.is_empty(), "{checked:?}");
}

#[test]
fn every_command_has_a_man_page() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    output(&["completions", "--man", directory.to_str().unwrap()]);
    for command in COMMANDS {
        let file = directory.join(format!("pushscale-{command}.1"));
        let page = fs::read_to_string(&file).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{}:\n{page}", file.display());
    }
}
