//! The program `pushscale-load`.

#![cfg(test)]

mod support;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use pushscale_testkit::emulated::{EmulatedServer, ServerOptions};
use rustix::process::{Pid, Signal, kill_process};
use support::{TIMEOUT, eventually, get, sum};
use tokio::process::Command;
use tokio::time::timeout;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushscale-load"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(command: &mut Command) -> Output {
    timeout(TIMEOUT, command.output()).await.unwrap().unwrap()
}

fn file(name: &str) -> PathBuf {
    let name = format!("{}-{name}", std::process::id());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[tokio::test]
async fn the_program_writes_the_summary_and_one_line_per_request_and_step() {
    let server = EmulatedServer::start(ServerOptions::default()).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let at = server.addresses();
    let (csv, json, mark) = (file("load.csv"), file("load.json"), file("load.mark"));
    let output = run(program()
        .arg(format!("--url=http://{}/predictions/sleepy", at.inference))
        .args(["--step", "2:1", "--step", "0:0.2", "--step", "5:1"])
        .args([
            "--keep-alive",
            "--timeout",
            "10",
            "--body",
            r#"{"sleep_ms": 20}"#,
        ])
        .args(["--csv".as_ref(), csv.as_os_str()])
        .args(["--json".as_ref(), json.as_os_str()])
        .args(["--mark".as_ref(), mark.as_os_str()]))
    .await;
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");

    let summary = std::fs::read_to_string(&json).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["sent"], 7);
    assert_eq!(summary["byOutcome"]["200"]["n"], 7);
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(lines.lines().count(), 8, "{lines}");
    assert!(lines.starts_with("start_s,latency_ms,outcome\n"), "{lines}");
    let starts = lines.lines().skip(1).map(|line| {
        let start = line.split(',').next().unwrap();
        start.parse::<f64>().unwrap()
    });
    assert!(starts.is_sorted(), "{lines}");
    assert!(
        lines.lines().skip(1).all(|l| l.ends_with(",200")),
        "{lines}"
    );

    let marks = std::fs::read_to_string(&mark).unwrap();
    let marks: Vec<f64> = marks.lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(marks.len(), 2);
    assert!(marks[1] - marks[0] >= 1.1, "{marks:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now.as_secs_f64() - marks[1] < 60.0);
    for path in [csv, json, mark] {
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_signal_ends_the_schedule_and_the_summary_is_written() {
    let server = EmulatedServer::start(ServerOptions::default()).unwrap();
    timeout(TIMEOUT, server.ready()).await.unwrap();
    let at = server.addresses();
    let child = program()
        .arg(format!("--url=http://{}/predictions/sleepy", at.inference))
        .args(["--rate", "5", "--seconds", "3600"])
        .spawn()
        .unwrap();
    eventually("some requests have come", || async {
        let page = get(at.metrics, "/metrics").await.body;
        sum(&page, "ts_inference_requests_total").unwrap_or(0.0) >= 2.0
    })
    .await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let output = timeout(TIMEOUT, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["sent"].as_u64().unwrap() >= 2);
}

#[tokio::test]
async fn invalid_arguments_are_reported_with_an_exit_code() {
    for (arguments, words) in [
        (vec![], "required"),
        (vec!["--rate", "5"], "--seconds"),
        (vec!["--step", "5"], "give RATE:SECONDS"),
        (
            vec!["--step", "5:1", "--rate", "5", "--seconds", "1"],
            "cannot be used with",
        ),
        (
            vec!["--step", "5:1", "--url", "https://x/"],
            "give http://HOST[:PORT]/PATH",
        ),
        (vec!["--step", "5:-1"], "the duration above 0"),
        (vec!["--step", "5:1", "--timeout", "0"], "a number above 0"),
        (
            vec!["--step", "5:1", "--csv", "/nowhere/x", "--rate"],
            "--rate",
        ),
        (
            vec!["--step", "5:1", "--mark", "/nowhere/x"],
            "write /nowhere/x",
        ),
    ] {
        let output = run(program().args(&arguments)).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}
