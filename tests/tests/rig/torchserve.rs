//! A pod with a real TorchServe, made of folders of this machine.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use pushscale_simulator::kit::Kit;
use pushscale_tests::rig::Image;

use crate::node::shared_rig;

const POD: &str = include_str!("../../rig/examples/torchserve-pod.yaml");

#[test]
fn a_torchserve_pod_becomes_ready_and_serves_its_model() {
    let Some(rig) = shared_rig() else { return };
    let Some(kit) = kit() else { return };
    rig.import_image(&Image {
        name: "pushscale.test/scratch:1".to_owned(),
        ..Image::default()
    })
    .unwrap();

    rig.apply(&pod(&kit)).unwrap();
    rig.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "pod/torchserve",
        "--timeout=60s",
    ])
    .unwrap();
    let output = "--output=jsonpath={.status.podIP}";
    let address = rig.kubectl(&["get", "pod", "torchserve", output]).unwrap();
    let get = |port_and_path: &str| {
        let url = format!("http://{address}:{port_and_path}");
        let answer = rig.command("probe").args(["get", &url]).output().unwrap();
        String::from_utf8(answer.stdout).unwrap()
    };
    let models = get("8081/models");
    assert!(models.contains(r#""modelName": "sleepy""#), "{models}");
    let metrics = get("8082/metrics");
    assert!(metrics.starts_with("200 OK"), "{metrics}");
    rig.kubectl(&["delete", "pod", "torchserve", "--timeout=60s"])
        .unwrap();
}

/// None, said loudly, if this machine lacks Python or Java; under CI that is a failure.
fn kit() -> Option<Kit> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit");
    let installed = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(Kit::install(&cache, say));
    match installed {
        Ok(kit) => Some(kit),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("failed to {error}")
        }
        Err(error) => {
            say(&format!("\nNOT RUN: torchserve: failed to {error}\n"));
            None
        }
    }
}

/// Past the test harness, which shows print macros of failed tests only.
fn say(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

fn pod(kit: &Kit) -> String {
    let prefix = Command::new(kit.python())
        .args(["-c", "import sys; print(sys.base_prefix)"])
        .output()
        .unwrap();
    let prefix = String::from_utf8(prefix.stdout).unwrap();
    let prefix = prefix.trim();
    let script = kit.script();
    let pod = POD
        .replace("@PYTHON@", prefix)
        .replace("@VENV@", kit.venv().to_str().unwrap())
        .replace("@KIT@", script.parent().unwrap().to_str().unwrap());
    // As the example says: /usr is there anyway.
    let twice = |line: &&str| prefix == "/usr" && line.contains("name: python,");
    pod.lines()
        .filter(|line| !twice(line))
        .collect::<Vec<_>>()
        .join("\n")
}
