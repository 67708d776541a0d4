//! `pushscale status` on a terminal, which `script` provides, against an API server that knows one PushScaler.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::api_server::{self, Response};

const RED: &str = "\u{1b}[31m";
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// A PushScaler that reports a problem.
fn scaler(mode: &str, version: u32) -> Value {
    json!({
        "apiVersion": "pushscale.dev/v1alpha1",
        "kind": "PushScaler",
        "metadata": { "namespace": "default", "name": "torchserve", "resourceVersion": version.to_string() },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "torchserve" },
            "mode": mode,
            "minReplicas": 3,
            "maxReplicas": 9,
            "metrics": [{ "type": "QueueLatency", "queueLatency": { "target": "50ms" } }],
        },
        "status": {
            "conditions": [{
                "type": "ScalingActive",
                "status": "False",
                "reason": "FailedGetPodsMetric",
                "message": "no pod reports",
                "lastTransitionTime": "2026-01-31T11:00:00Z",
            }],
        },
    })
}

/// Responds with the list, and to a watch with one change of the mode.
fn respond(path: &str) -> Response {
    assert!(path.starts_with("/apis/pushscale.dev/v1alpha1/"), "{path}");
    if path.contains("watch=true") {
        return Response::Watch(json!({ "type": "MODIFIED", "object": scaler("Recommend", 2) }));
    }
    Response::Found(json!({
        "apiVersion": "pushscale.dev/v1alpha1",
        "kind": "PushScalerList",
        "metadata": { "resourceVersion": "1" },
        "items": [scaler("Apply", 1)],
    }))
}

/// Runs a command on a terminal of this type.
fn on_terminal(test: &str, command: &str, term: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_pushscale");
    // Under nohup, too, it ends with its terminal.
    let command = format!("env --default-signal=HUP {program} {command}");
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env("KUBECONFIG", api_server::start(test, respond))
        .env("TERM", term)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    script
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn problems_are_red_on_a_terminal_that_permits_it() {
    let table = printed(&mut on_terminal("colours", "status", "xterm"));
    assert!(table.contains(RED), "{table}");
    let wide = printed(&mut on_terminal("wide", "status -o wide", "xterm"));
    assert!(wide.contains(RED) && wide.contains("MAX"), "{wide}");

    let plain = printed(on_terminal("no-color", "status", "xterm").env("NO_COLOR", "1"));
    let dumb = printed(&mut on_terminal("dumb", "status", "dumb"));
    for table in [plain, dumb] {
        assert!(table.contains("torchserve"), "{table}");
        assert!(!table.contains('\u{1b}'), "{table:?}");
    }
}

/// A command that runs until it is dropped.
struct Watching(Child);

impl Watching {
    fn start(test: &str, term: &str) -> Self {
        let mut command = on_terminal(test, "status --watch", term);
        Self(command.spawn().unwrap())
    }

    /// Returns what is printed up to this text.
    fn until(&mut self, expected: &str) -> String {
        let output = self.0.stdout.as_mut().unwrap();
        let mut printed = Vec::new();
        let mut byte = [0];
        loop {
            output.read_exact(&mut byte).unwrap();
            printed.extend(byte);
            if printed.ends_with(expected.as_bytes()) {
                return String::from_utf8_lossy(&printed).into_owned();
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_watch_redraws_the_table_on_a_terminal_that_can_be_cleared() {
    let printed = Watching::start("watch", "xterm").until("Recommend");
    let screens: Vec<&str> = printed.split(CLEAR).collect();
    assert!(screens.len() >= 3, "{printed:?}");
    assert!(screens[1].contains("Apply"), "{printed:?}");
    assert!(screens[2].starts_with("NAME"), "{printed:?}");

    let printed = Watching::start("watch-dumb", "dumb").until("Recommend");
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
    assert_eq!(printed.matches("NAME ").count(), 1, "{printed:?}");
}
