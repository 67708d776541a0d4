//! A pod with a real TorchServe, made of directories of this machine.

use pushscale_tests::fleet;
use pushscale_tests::rig::Image;

use crate::node::shared_rig;

#[test]
fn a_torchserve_pod_becomes_ready_and_serves_its_model() {
    let Some(rig) = shared_rig() else { return };
    let Some(torchserve) = fleet::local_torchserve() else {
        return;
    };
    rig.import_image(&Image {
        name: "pushscale.test/scratch:1".to_owned(),
        ..Image::default()
    })
    .unwrap();

    rig.apply(&fleet::torchserve_pod(&torchserve).to_string())
        .unwrap();
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
