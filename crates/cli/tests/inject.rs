//! `pushscale inject` as somebody calls it: `testdata/inject/<a sentence>/before.yaml` and what comes out, and
//! `testdata/inject-refused/<a sentence>.yaml` with what is said of it beside it.
//!
//! `PUSHSCALE_GENERATE=1` writes what comes out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn testdata(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let mut all: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    all
}

/// With the folder's name out of the way: what is said names files.
fn pushscale(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .arg("inject")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn succeeded(output: Output) -> (String, String) {
    let (out, error) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{error}");
    (out, error)
}

/// Is it what the file says? Writes it if asked to.
fn is_as_in(file: &Path, found: &str) -> bool {
    if std::env::var_os("PUSHSCALE_GENERATE").is_some() {
        fs::write(file, found).unwrap();
    }
    fs::read_to_string(file).is_ok_and(|kept| kept == found)
}

#[test]
fn files_become_what_the_files_say() {
    let mut wrong = Vec::new();
    for folder in testdata("inject") {
        let (out, error) = succeeded(pushscale(&folder, &["-f", "before.yaml"]));
        let good = is_as_in(&folder.join("after.yaml"), &out);
        if !is_as_in(&folder.join("said.txt"), &error) || !good {
            wrong.push(format!("{}:\n{out}\n{error}", folder.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "otherwise than in the files:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn what_was_put_in_can_be_taken_out_to_the_byte_and_is_not_put_in_twice() {
    let mut exact = 0;
    for folder in testdata("inject") {
        let name = folder.display();
        let before = fs::read_to_string(folder.join("before.yaml")).unwrap();
        let (after, said) = succeeded(pushscale(&folder, &["-f", "before.yaml"]));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("injected.yaml");
        fs::write(&path, &after).unwrap();
        let path = path.to_str().unwrap();
        let (again, _) = succeeded(pushscale(&folder, &["-f", path]));
        assert_eq!(again, after, "{name}");
        let (out, _) = succeeded(pushscale(&folder, &["--uninject", "-f", path]));
        if said.contains("written anew") {
            assert!(!out.contains("pushscale"), "{name}: {out}");
            continue;
        }
        assert_eq!(out, before, "{name}");
        exact += 1;
        // Nothing is lost on the way in: the lines of before stand among those of after.
        if !said.contains("written anew") && !before.starts_with('{') {
            let mut lines = after.lines();
            for line in before.lines() {
                let there =
                    |found: &str| found == line || found.contains("was ") || found.contains('{');
                assert!(lines.any(there), "{name}: {line:?} is not there any more");
            }
        }
    }
    assert!(exact >= 20, "only {exact} files went there and back");
}

#[test]
fn what_is_wrong_is_said_with_file_and_line_and_nothing_is_written() {
    let mut wrong = Vec::new();
    for file in testdata("inject-refused") {
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let folder = file.parent().unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let output = pushscale(folder, &["-f", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert_eq!(text(output.stdout), "", "{name}");
        let said = text(output.stderr);
        if !is_as_in(&file.with_extension("out"), &said) {
            wrong.push(said);
        }
    }
    assert!(
        wrong.is_empty(),
        "otherwise than in the files:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn several_files_and_the_standard_input_are_one_stream() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args([
            "inject",
            "-f",
            "nothing at all/before.yaml",
            "-f",
            "-",
            "-f",
            "opted out/before.yaml",
        ])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: torchserve";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(pod.as_bytes())
        .unwrap();
    let (out, error) = succeeded(child.wait_with_output().unwrap());
    let documents: Vec<_> = out.split("\n---\n").collect();
    assert_eq!(documents.len(), 3, "{out}");
    assert!(documents[1].contains("pushscale-sidecar"), "{out}");
    assert!(error.starts_with("-:1: pod/a: injected\n"), "{error}");
}

#[test]
fn what_is_asked_for_stands_in_the_sidecar_and_nonsense_is_refused() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject/a Deployment with comments");
    let asked = [
        "--aggregator=there:1",
        "--image=registry.example/sidecar:2",
        "--native-sidecar=false",
        "--trust=none",
        "-f=before.yaml",
    ];
    let (out, _) = succeeded(pushscale(&folder, &asked));
    for line in ["value: there:1", "image: registry.example/sidecar:2"] {
        assert!(out.contains(line), "{line} is not in\n{out}");
    }
    for nothing in ["initContainers", "pushscale-trust", "TOKEN_FILE"] {
        assert!(!out.contains(nothing), "{nothing} is in\n{out}");
    }
    for bad in ["--image=a b", "--aggregator=http://there/", "--trust=some"] {
        assert_eq!(
            pushscale(&folder, &[bad, "-f=before.yaml"]).status.code(),
            Some(2)
        );
    }
    let (_, said) = succeeded(pushscale(
        &folder,
        &["--namespace=kube-system", "-f=before.yaml"],
    ));
    assert!(said.contains("SystemNamespace"), "{said}");
}
