//! Chart values for this machine's TorchServe.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use pushscale_testkit::cache;
use pushscale_testkit::local_torchserve::LocalTorchServe;
use serde_json::{Value, json};

use crate::fleet;

/// Returns values of `helm/torchserve` for a real TorchServe, started by the chart's script with the model `sleepy`,
/// one worker and a service time of 100 ms. Directories of this machine replace the image.
///
/// # Panics
/// The model cannot be written.
pub fn torchserve_values(torchserve: &LocalTorchServe) -> Value {
    values(torchserve, "model-store", &[])
}

/// Returns the same with batches of up to four requests, for which a worker waits for up to 200 ms.
///
/// # Panics
/// The model cannot be written.
pub fn batching_values(torchserve: &LocalTorchServe) -> Value {
    let options = ["--batch-size=4", "--max-batch-delay=200"];
    values(torchserve, "model-store-batching", &options)
}

fn values(torchserve: &LocalTorchServe, store: &str, model: &[&str]) -> Value {
    let store = model_store(torchserve, store, model);
    let pod = fleet::torchserve_pod(torchserve);
    let mut volumes = pod["spec"]["volumes"].as_array().unwrap().clone();
    volumes.push(json!({ "name": "store", "hostPath": { "path": store } }));
    let container = &pod["spec"]["containers"][0];
    let mut mounts = container["volumeMounts"].as_array().unwrap().clone();
    mounts.push(json!({ "name": "store", "mountPath": "/store", "readOnly": true }));
    let path = format!("{}:/usr/bin:/bin", torchserve.venv().join("bin").display());
    json!({
        "image": { "repository": "pushscale.test/scratch", "tag": "1", "pullPolicy": "Never" },
        "modelStore": { "path": "/store" },
        "extraEnv": [
            { "name": "PATH", "value": path },
            { "name": "HOME", "value": "/tmp" },
            { "name": "TMPDIR", "value": "/tmp" },
            { "name": "LOG_LOCATION", "value": "/tmp/logs" },
            { "name": "METRICS_LOCATION", "value": "/tmp/logs" },
            { "name": "PYTHONPATH", "value": "/local-torchserve/stub" },
        ],
        "extraVolumes": volumes,
        "extraVolumeMounts": mounts,
        // The directories of this machine belong to root.
        "podSecurityContext": null,
        "resources": null,
        // With the default of 100, an overload is answered 503 where new pods start slower than the queue fills.
        "config": {
            "defaultWorkersPerModel": 1,
            "jobQueueSize": 10_000,
            // A third less CPU until it is Ready, as for the servers of the testkit.
            "extra": { "vmargs": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1" },
        },
        "probes": { "model": "sleepy" },
    })
}

/// Creates a directory of this name with the testkit's sleeping model, which gets these options of `start.py`.
fn model_store(torchserve: &LocalTorchServe, name: &str, options: &[&str]) -> PathBuf {
    let store = cache::directory().join(name);
    fs::create_dir_all(&store).unwrap();
    let script = "import pathlib, sys\nsys.path.insert(0, sys.argv.pop(1))\nstore = pathlib.Path(sys.argv.pop(1))\n\
                  import start\nstart.write_models(store, start.parse())\n";
    let made = Command::new(torchserve.python())
        .args(["-B", "-c", script])
        .arg(torchserve.script().parent().unwrap())
        .arg(&store)
        .args(options)
        .status()
        .unwrap();
    assert!(made.success());
    store
}
