//! Runs `pushscale inject` on `testdata/inject/<case>/before.yaml` and compares its output with `after.yaml` and its
//! messages with `messages.txt`; and on `testdata/inject-rejected/<case>.yaml`, with `<case>.messages.txt`.
//!
//! `PUSHSCALE_GENERATE=1` writes the expected files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::golden;

fn testdata() -> Vec<PathBuf> {
    golden::files("testdata/inject", "", 1)
}

/// Runs the command in a directory, so that its messages have short file names.
fn pushscale(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .arg("inject")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Returns the standard output and the messages.
fn succeeded(output: Output) -> (String, String) {
    let (out, error) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{error}");
    (out, error)
}

/// The values of the documents. Kubernetes treats empty maps and lists, null and absent fields alike.
fn values(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml.trim_start_matches('\u{feff}')).unwrap();
    documents.iter().map(without_empty).collect()
}

fn without_empty(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(items) => items.iter().map(without_empty).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), without_empty(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        other => other.clone(),
    }
}

fn comments(yaml: &str) -> Vec<&str> {
    let comments = yaml.lines().filter_map(|line| line.split_once('#'));
    comments.map(|(_, comment)| comment.trim()).collect()
}

#[test]
fn injected_files_match_the_expected_files() {
    let mut wrong = Vec::new();
    for directory in testdata() {
        let (out, error) = succeeded(pushscale(&directory, &["-f", "before.yaml"]));
        let good = golden::matches(&directory.join("after.yaml"), &out);
        if !golden::matches(&directory.join("messages.txt"), &error) || !good {
            wrong.push(format!("{}:\n{out}\n{error}", directory.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_second_inject_changes_nothing() {
    for directory in testdata() {
        for (native_sidecar, auth) in [("true", "token"), ("false", "none")] {
            let native_sidecar = format!("--native-sidecar={native_sidecar}");
            let auth = format!("--auth={auth}");
            let inject = |file: &str| {
                succeeded(pushscale(&directory, &[&native_sidecar, &auth, "-f", file])).0
            };
            let after = inject("before.yaml");
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("injected-once.yaml");
            fs::write(&path, &after).unwrap();
            let again = inject(path.to_str().unwrap());
            assert_eq!(again, after, "{}, {native_sidecar}", directory.display());
        }
    }
}

#[test]
fn uninject_restores_values_and_comments() {
    let mut injected = 0;
    for directory in testdata() {
        let name = directory.display();
        let before = fs::read_to_string(directory.join("before.yaml")).unwrap();
        let (after, messages) = succeeded(pushscale(&directory, &["-f", "before.yaml"]));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("injected.yaml");
        fs::write(&path, &after).unwrap();
        let path = path.to_str().unwrap();
        let (out, _) = succeeded(pushscale(&directory, &["--uninject", "-f", path]));
        assert_eq!(values(&out), values(&before), "{name}");
        if messages.contains("document rewritten") {
            continue;
        }
        // A comment on the line of an empty field is removed with the field.
        if !directory.ends_with("empty-values") {
            assert_eq!(comments(&out), comments(&before), "{name}");
        }
        for comment in comments(&before) {
            assert!(
                comments(&after).contains(&comment),
                "{name}: {comment:?} is lost"
            );
        }
        // A JSON file stays JSON.
        if before.starts_with('{') {
            serde_json::from_str::<Value>(&after).unwrap();
            serde_json::from_str::<Value>(&out).unwrap();
        } else if after != before {
            injected += 1;
        }
    }
    assert!(injected >= 20, "only {injected} files were injected");
}

/// The cases of the injector, whose pods are those of the webhook.
#[test]
fn uninject_restores_the_pods_of_the_webhook() {
    let mut injected = 0;
    for directory in golden::files("../injector/testdata", "", 1) {
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let before = read("before.yaml");
        // What an earlier injection has left in a copied template is removed.
        if !read("after.yaml").starts_with("# Injected") || before.contains("pushscale.dev/skipped")
        {
            continue;
        }
        let (out, _) = succeeded(pushscale(&directory, &["--uninject", "-f", "after.yaml"]));
        assert_eq!(values(&out), values(&before), "{}", directory.display());
        injected += 1;
    }
    assert!(injected >= 20, "only {injected} pods were injected");
}

#[test]
fn errors_name_file_and_line_and_nothing_is_written() {
    let mut wrong = Vec::new();
    for file in golden::files("testdata/inject-rejected", ".yaml", 1) {
        let directory = file.parent().unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let output = pushscale(directory, &["-f", name]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert_eq!(text(output.stdout), "", "{name}");
        let messages = text(output.stderr);
        if !golden::matches(&file.with_extension("messages.txt"), &messages) {
            wrong.push(messages);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn several_files_and_standard_input_are_written_as_one_stream() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args([
            "inject",
            "-f",
            "empty-file/before.yaml",
            "-f",
            "-",
            "-f",
            "opted-out/before.yaml",
        ])
        .current_dir(&directory)
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
    assert!(error.starts_with("-:1: pod/a: injected"), "{error}");
}

#[test]
fn the_container_option_names_torchserves_container() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject-rejected");
    for (file, container) in [
        ("no-container-is-torchserve.yaml", "nginx"),
        ("two-containers-with-torchserve-image.yaml", "green"),
    ] {
        let (out, error) = succeeded(pushscale(
            &directory,
            &["--container", container, "-f", file],
        ));
        assert!(out.contains("pushscale-sidecar"), "{out}");
        let expected = format!("injected (container \"{container}\": named by --container)\n");
        assert!(error.ends_with(&expected), "{error}");
        let output = pushscale(&directory, &["--container=other", "-f", file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(output.stderr).contains("ContainerNotFound"));
    }
}

#[test]
fn an_injected_file_is_injected_again_with_the_present_options() {
    for directory in testdata() {
        let name = directory.display();
        let inject = |file: &str, image: &str| {
            let options = [image, "--native-sidecar=false", "-f", file];
            succeeded(pushscale(&directory, &options)).0
        };
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("injected-before.yaml");
        let first = ["--image=a/sidecar:1", "-f", "before.yaml"];
        let (injected, _) = succeeded(pushscale(&directory, &first));
        let version = concat!("injected: ", env!("CARGO_PKG_VERSION"));
        fs::write(&path, injected.replace(version, "injected: 0.0.9")).unwrap();
        let again = inject(path.to_str().unwrap(), "--image=b/sidecar:2");
        let expected = inject("before.yaml", "--image=b/sidecar:2");
        assert_eq!(values(&again), values(&expected), "{name}");
    }
}

#[test]
fn options_set_up_the_sidecar_and_invalid_ones_are_rejected() {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/inject/deployment-with-comments");
    let options = [
        "--aggregator=there:1",
        "--image=registry.example/sidecar:2",
        "--native-sidecar=false",
        "--auth=none",
        "-f=before.yaml",
    ];
    let (out, _) = succeeded(pushscale(&directory, &options));
    for line in ["value: there:1", "image: registry.example/sidecar:2"] {
        assert!(out.contains(line), "{line} is not in\n{out}");
    }
    for absent in ["initContainers", "pushscale-trust", "TOKEN_FILE"] {
        assert!(!out.contains(absent), "{absent} is in\n{out}");
    }
    for bad in ["--image=a b", "--aggregator=http://there/", "--auth=some"] {
        let code = pushscale(&directory, &[bad, "-f=before.yaml"])
            .status
            .code();
        assert_eq!(code, Some(2));
    }
    let (_, messages) = succeeded(pushscale(
        &directory,
        &["--namespace=kube-system", "-f=before.yaml"],
    ));
    assert!(messages.contains("SystemNamespace"), "{messages}");
}

#[test]
fn the_help_describes_the_options_of_the_reference() {
    let help = Command::new(env!("CARGO_BIN_EXE_pushscale"))
        .args(["inject", "--help"])
        .output()
        .unwrap();
    assert!(help.status.success(), "{help:?}");
    let help = String::from_utf8(help.stdout).unwrap();
    for option in [
        "--aggregator",
        "--auth",
        "--container",
        "--image",
        "--namespace",
        "--native-sidecar",
        "--uninject",
    ] {
        assert!(help.contains(option), "{option} is not in\n{help}");
    }
}
