//! The InferenceService of docs/KSERVE.md against the CRD, the runtime and the constants of a release of KServe.
//! tests/tests/node has a Deployment as KServe writes it.

use pushscale_tests::charts::objects;
use pushscale_tests::document::Document;
use pushscale_tests::kserve::Release;
use pushscale_tests::namespace::Namespace;
use pushscale_tests::test_cluster::ClusterError;
use serde_json::{Value, json};

use crate::cluster;

#[test]
fn the_inference_service_of_the_page_is_one_of_kserve_and_turns_its_autoscalers_off() {
    let Some(release) = Release::for_test() else {
        return;
    };
    release.define(cluster());
    let namespace = Namespace::create(cluster(), "kserve");
    let page = Document::read("KSERVE.md");
    let read = |section: &str, file: &str| -> Value {
        let text = page.section(section).file(file);
        objects(text).pop().unwrap()
    };
    let documented = read("Create the InferenceService", "inferenceservice.yaml");

    // The CRD knows the fields of the predictor, and nothing else.
    let mut misspelled = documented.clone();
    let model = misspelled["spec"]["predictor"]["model"].as_object_mut();
    let model = model.unwrap();
    let storage = model.remove("storageUri").unwrap();
    model.insert("storageURI".to_owned(), storage);
    let error = create(&namespace, &misspelled).unwrap_err();
    let expected = r#"unknown field "spec.predictor.model.storageURI""#;
    assert!(error.contains(expected), "{error}");
    create(&namespace, &documented).unwrap();

    let stored = namespace.get("inferenceservice", "mnist");
    assert_eq!(stored["spec"], documented["spec"], "nothing was dropped");
    // The API server accepts any annotation; KServe's controller knows these.
    let annotation = |name: &str| {
        let name = release.constant(name);
        &stored["metadata"]["annotations"]
            [format!("{}{name}", release.constant("KServeAPIGroupName"))]
    };
    assert_eq!(
        annotation("AutoscalerClass"),
        release.constant("AutoscalerClassExternal")
    );
    assert_eq!(annotation("DeploymentMode"), release.constant("Standard"));

    // KServe chooses its runtime for TorchServe, whose container and metrics port the page names.
    let runtime = release.runtime();
    let format = &stored["spec"]["predictor"]["model"]["modelFormat"]["name"];
    let formats = runtime["spec"]["supportedModelFormats"].as_array().unwrap();
    assert!(
        formats
            .iter()
            .any(|it| it["name"] == *format && it["autoSelect"] == true),
        "{formats:?}"
    );
    let container = &runtime["spec"]["containers"][0];
    assert_eq!(container["name"], "kserve-container");
    let arguments = container["args"].as_array().unwrap();
    let settings = json!("--ts-config=/mnt/models/config/config.properties");
    assert!(arguments.contains(&settings), "{arguments:?}");
    let port = &runtime["spec"]["annotations"]["prometheus.kserve.io/port"];
    assert_eq!(port, "8082");

    // The PushScaler scales the Deployment of the predictor.
    let scaler = read("Scale its Deployment", "pushscaler.yaml");
    let deployment = format!("mnist-{}", release.constant("Predictor"));
    assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], deployment);
}

/// Creates an object like a user, with the API server's strict validation. Returns its error.
fn create(namespace: &Namespace<'_>, object: &Value) -> Result<(), String> {
    let file = namespace.cluster.logs_dir().join("inferenceservice.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let name = ["-n", &namespace.name];
    let create = ["create", "--validate=strict", "-f", file.to_str().unwrap()];
    let created = namespace.cluster.kubectl(&[&name[..], &create].concat());
    created.map(drop).map_err(|error| match error {
        ClusterError::Command { stderr, .. } => stderr,
        other => panic!("{other}"),
    })
}
