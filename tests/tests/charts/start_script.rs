//! The chart's start script of TorchServe, with a launcher that behaves like TorchServe's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::directory;

/// The signal handling of TorchServe's launcher: it waits for the server, forwards no signal, and exits with the
/// server. `--stop` kills the server by its pid file.
const LAUNCHER: &str = r#"#!/bin/sh
if [ "$1" = --stop ]; then kill "$(cat "$WORK/server.pid")"; exit; fi
echo "$@" >"$WORK/words"
sh -c 'echo $$ >"$WORK/server.pid"; exec sleep 60' &
wait $!
"#;

#[test]
fn a_sigterm_reaches_the_server() {
    let work = tempdir("sigterm");
    let mut script = start(&work);
    wait_for(&work.join("server.pid"));
    let words = fs::read_to_string(work.join("words")).unwrap();
    assert_eq!(
        words,
        "--start --foreground --ts-config /config/config.properties --ncs\n"
    );
    let server = fs::read_to_string(work.join("server.pid")).unwrap();
    signal("-TERM", &script.id().to_string());
    ended(&mut script);
    assert!(!alive(server.trim()), "the server outlived its script");
}

#[test]
fn the_start_script_exits_with_the_server() {
    let work = tempdir("server-ends");
    let mut script = start(&work);
    wait_for(&work.join("server.pid"));
    let server = fs::read_to_string(work.join("server.pid")).unwrap();
    signal("-KILL", server.trim());
    ended(&mut script);
}

fn tempdir(name: &str) -> std::path::PathBuf {
    let work =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-script-{name}"));
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work).unwrap();
    let launcher = work.join("torchserve");
    fs::write(&launcher, LAUNCHER).unwrap();
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
    work
}

fn start(work: &std::path::Path) -> Child {
    let path = format!("{}:{}", work.display(), std::env::var("PATH").unwrap());
    Command::new("/bin/sh")
        .arg(directory("torchserve").join("files/start.sh"))
        .arg("--ncs")
        .env("PATH", path)
        .env("WORK", work)
        .spawn()
        .unwrap()
}

fn signal(signal: &str, process: &str) {
    assert!(
        Command::new("kill")
            .args([signal, process])
            .status()
            .unwrap()
            .success()
    );
}

fn alive(process: &str) -> bool {
    std::path::Path::new("/proc").join(process).exists()
}

fn wait_for(file: &std::path::Path) {
    let start = Instant::now();
    while fs::read_to_string(file).unwrap_or_default().is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no {}",
            file.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ended(child: &mut Child) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "the script does not end"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
