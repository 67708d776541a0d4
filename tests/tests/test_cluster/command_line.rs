//! The program `pushscale-test-cluster` and its error messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::leftovers::Traces;
use pushscale_tests::test_cluster::TestCluster;

#[test]
fn up_exec_status_and_down_work() {
    let name = format!("cli{}", std::process::id());
    let up = cluster(&["up", "--shape", "control-plane", "--name", &name]);
    assert!(up.status.success(), "{up:?}");
    let traces = Traces::of(&TestCluster::attach(&name).unwrap());
    let kubeconfig = format!("KUBECONFIG={}", traces.state.display());
    assert!(stdout(&up).contains(&kubeconfig), "{up:?}");

    let exec = [
        "exec",
        "--name",
        &name,
        "--",
        "kubectl",
        "get",
        "--raw=/readyz",
    ];
    assert_eq!(stdout(&cluster(&exec)), "ok");
    assert!(stdout(&cluster(&["status"])).contains(&name));

    let down = cluster(&["down", "--name", &name]);
    assert!(down.status.success(), "{down:?}");
    traces.assert_gone();
    let again = cluster(&["down", "--name", &name]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("no cluster named"), "{again:?}");
}

#[test]
fn a_failed_component_is_reported_with_its_log_and_everything_is_removed() {
    // An etcd that does not start, selected by the usual environment variable.
    let assets = directory("broken-etcd");
    write_program(&assets.join("etcd"), "echo the disk is on fire; exit 3");
    let name = format!("broken{}", std::process::id());
    let up = Command::new(env!("CARGO_BIN_EXE_pushscale-test-cluster"))
        .args(["up", "--shape", "control-plane", "--name", &name])
        .env("KUBEBUILDER_ASSETS", &assets)
        .output()
        .unwrap();
    assert_eq!(up.status.code(), Some(1));
    let message = stderr(&up);
    assert!(message.contains("etcd ended (exit status: 3)"), "{message}");
    assert!(message.contains("the disk is on fire"), "{message}");
    let kept = message.rsplit("kept in ").next().unwrap().trim();
    let log = fs::read_to_string(Path::new(kept).join("etcd.log")).unwrap();
    assert!(log.contains("the disk is on fire"));

    let status = cluster(&["status"]);
    assert!(!stdout(&status).contains(&name), "{status:?}");
    fs::remove_dir_all(assets).unwrap();
    fs::remove_dir_all(kept).unwrap();
}

#[test]
fn two_concurrent_runs_build_each_program_once() {
    let directory = directory("provision");
    let cache = directory.join("cache");
    let built = directory.join("built");
    let fake = directory.join("path");
    fs::create_dir(&fake).unwrap();
    // A fake Go compiler: it records the packages, takes a moment, and writes the programs.
    write_program(
        &fake.join("go"),
        &format!(
            r#"
while [ "$1" != -o ]; do shift; done
output=$2
shift 2
sleep 0.2
for package in "$@"; do
    echo "$package" >>{built}
    case $output in */) program=$output${{package##*/}} ;; *) program=$output ;; esac
    echo '#!/bin/sh' >"$program"
    chmod +x "$program"
done"#,
            built = built.display()
        ),
    );
    let path = format!("{}:{}", fake.display(), std::env::var("PATH").unwrap());
    let provision = || {
        let mut command = Command::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/test-cluster/provision"
        ));
        command
            .arg("control-plane")
            .env("PATH", &path)
            .env("PUSHSCALE_CACHE", &cache)
            .env_remove("KUBEBUILDER_ASSETS");
        command
    };

    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| provision().output().unwrap());
        let other = provision().output().unwrap();
        (one.join().unwrap(), other)
    });
    assert!(one.status.success() && other.status.success());
    assert_eq!(stdout(&one), stdout(&other));
    let expected = [
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ];
    let built = fs::read_to_string(built).unwrap();
    assert_eq!(built.lines().collect::<Vec<_>>(), expected);
    let bin = PathBuf::from(stdout(&one).trim());
    assert!(bin.join("kube-controller-manager").is_file());

    // With nothing to do, it prints nothing.
    assert_eq!(stderr(&provision().output().unwrap()), "");
    fs::remove_dir_all(directory).unwrap();
}

fn cluster(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pushscale-test-cluster"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Creates an empty directory for one test.
fn directory(name: &str) -> PathBuf {
    let name = format!("{name}-{}", std::process::id());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn write_program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
