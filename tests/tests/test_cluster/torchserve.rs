//! A pod with a real TorchServe from directories of this machine.

use pushscale_tests::fleet;
use pushscale_tests::test_cluster::Image;

use crate::node::shared_cluster;

#[test]
fn a_torchserve_pod_becomes_ready_and_serves_its_model() {
    let Some(cluster) = shared_cluster() else {
        return;
    };
    let Some(torchserve) = fleet::local_torchserve() else {
        return;
    };
    cluster
        .import_image(&Image {
            name: "pushscale.test/scratch:1".to_owned(),
            ..Image::default()
        })
        .unwrap();

    cluster
        .api()
        .apply(&fleet::torchserve_pod(&torchserve).to_string())
        .unwrap();
    cluster
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pod/torchserve",
            "--timeout=300s",
        ])
        .unwrap();
    let output = "--output=jsonpath={.status.podIP}";
    let address = cluster
        .kubectl(&["get", "pod", "torchserve", output])
        .unwrap();
    let get = |port_and_path: &str| {
        let url = format!("http://{address}:{port_and_path}");
        let answer = cluster
            .command("probe")
            .args(["get", &url])
            .output()
            .unwrap();
        String::from_utf8(answer.stdout).unwrap()
    };
    let models = get("8081/models");
    assert!(models.contains(r#""modelName": "sleepy""#), "{models}");
    let metrics = get("8082/metrics");
    assert!(metrics.starts_with("200 OK"), "{metrics}");
    cluster
        .kubectl(&["delete", "pod", "torchserve", "--timeout=300s"])
        .unwrap();
}
