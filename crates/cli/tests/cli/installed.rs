//! What users install: the program, the plugin of kubectl, completion scripts and man pages by `make install`, and the
//! manifest with which krew installs the plugin. The tests of the cluster run the plugin.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

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

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns an empty directory for a test.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&path).ok();
    fs::create_dir_all(&path).unwrap();
    path
}

/// Runs a command, which must succeed, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The program that the tests were built with replaces that of `cargo build --release`, which takes minutes.
#[test]
fn make_install_installs_program_plugin_completions_and_man_pages() {
    let directory = directory("make-install");
    let built = directory.join("target/release");
    fs::create_dir_all(&built).unwrap();
    symlink(PROGRAM, built.join("pushscale")).unwrap();
    let staged = directory.join("staged");
    run(Command::new("make")
        .args(["install", "CARGO=true", "PREFIX=/opt/pushscale"])
        .arg(format!("DESTDIR={}", staged.display()))
        .env("CARGO_TARGET_DIR", directory.join("target"))
        .current_dir(repository()));
    let prefix = staged.join("opt/pushscale");
    for program in ["pushscale", "kubectl-pushscale"] {
        let version = run(Command::new(prefix.join("bin").join(program)).arg("--version"));
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    }
    let completions = prefix.join("share/bash-completion/completions/pushscale");
    assert_eq!(
        fs::read_to_string(completions).unwrap(),
        output(&["completions", "bash"])
    );
    let pages = fs::read_dir(prefix.join("share/man/man1")).unwrap();
    assert!(pages.count() > COMMANDS.len());
}

#[test]
fn the_krew_manifest_installs_the_archives_of_a_release() {
    const VERSION: &str = "1.2.3";
    const HOMEPAGE: &str = "https://github.com/example/pushscale";
    let directory = directory("krew");
    for arch in ["amd64", "arm64"] {
        // As `.ci/release` names and fills them.
        let name = format!("pushscale-{VERSION}-linux-{arch}");
        let content = directory.join(&name);
        fs::create_dir_all(&content).unwrap();
        fs::write(content.join("pushscale"), arch).unwrap();
        run(Command::new("tar")
            .args(["-czf", &format!("{name}.tar.gz"), &name])
            .current_dir(&directory));
    }
    let krew = repository().join(".ci/krew");
    let text = run(Command::new(krew).arg(&directory).args([VERSION, HOMEPAGE]));
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        manifest["apiVersion"],
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "pushscale");
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{VERSION}"));
    assert_eq!(spec["homepage"], HOMEPAGE);
    assert!(spec["shortDescription"].is_string(), "{spec:#}");
    let mut architectures = BTreeSet::new();
    for platform in spec["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        assert_eq!(labels["os"], "linux");
        let arch = labels["arch"].as_str().unwrap();
        architectures.insert(arch);
        let name = format!("pushscale-{VERSION}-linux-{arch}");
        let archive = format!("{name}.tar.gz");
        let uri = format!("{HOMEPAGE}/releases/download/v{VERSION}/{archive}");
        assert_eq!(platform["uri"], uri);
        let sum = run(Command::new("sha256sum").arg(directory.join(&archive)));
        assert_eq!(platform["sha256"], sum.split(' ').next().unwrap());
        // krew extracts the archive, moves the files, and links to the program.
        let from = platform["files"][0]["from"].as_str().unwrap();
        assert_eq!(from, format!("{name}/*"));
        assert_eq!(platform["files"][0]["to"], ".");
        let program = format!("{name}/{}", platform["bin"].as_str().unwrap());
        let listed = run(Command::new("tar")
            .arg("-tzf")
            .arg(directory.join(&archive)));
        assert!(listed.lines().any(|line| line == program), "{listed}");
    }
    assert_eq!(architectures, BTreeSet::from(["amd64", "arm64"]));
}
