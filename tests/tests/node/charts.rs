//! With the images of `make image`: the charts are installed, upgraded, rolled back and uninstalled, and nothing
//! unexpected remains.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use pushscale_tests::all_objects::objects_of;
use pushscale_tests::charts::{Helm, directory};
use pushscale_tests::fleet;
use pushscale_tests::programs::image;
use pushscale_tests::test_cluster::{Shape, TestCluster};
use pushscale_tests::torchserve_values::torchserve_values;
use serde_json::{Value, json};

const TAG: &str = env!("CARGO_PKG_VERSION");

/// The limit for the garbage collector.
const MOMENT: Duration = Duration::from_secs(300);

#[test]
fn the_charts_install_upgrade_and_uninstall_without_leftovers() {
    if !Shape::Node.available() {
        return;
    }
    let Some(helm) = Helm::for_test() else { return };
    let _guard = crate::shared();
    let cluster = TestCluster::start(Shape::Node).unwrap();
    fleet::import_built_images(&cluster);
    for namespace in ["pushscale", "models"] {
        cluster
            .kubectl(&["create", "namespace", namespace])
            .unwrap();
    }
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    cluster
        .kubectl(&["label", "namespace", "pushscale", restricted])
        .unwrap();
    refuses_the_external_metrics_of_another(&helm, &cluster);
    let before = objects_of(&cluster);

    let pushscale = Release::new(&helm, &cluster, "pushscale", "pushscale");
    pushscale.install(&json!({ "externalMetrics": { "enabled": true } }));
    pushscale.test();
    let first = objects_of(&cluster);
    assert!(
        first
            .keys()
            .any(|name| name.contains("pushscale-aggregator")),
        "{first:#?}"
    );

    let mut changed = json!({});
    changed["logLevel"] = json!("debug");
    pushscale.upgrade(&changed);
    let level = "-o=jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"PUSHSCALE_AGGREGATOR_LOG_LEVEL\")].value}";
    let of = [
        "-n=pushscale",
        "get",
        "deployment/pushscale-aggregator",
        level,
    ];
    assert_eq!(cluster.kubectl(&of).unwrap(), "debug");
    pushscale.rollback();
    assert_eq!(cluster.kubectl(&of).unwrap(), "info");

    torchserve(&helm, &cluster);

    let other = [
        "other",
        "--namespace=models",
        "--set=fullnameOverride=other",
    ];
    let found = "another installation, pushscale/pushscale-aggregator, scales the PushScalers of all namespaces";
    is_refused(&helm, &cluster, other, found);
    let same_namespace = [
        "other",
        "--namespace=pushscale",
        "--set=fullnameOverride=other,aggregator.watchNamespace=models",
    ];
    let found = "the namespace pushscale has another installation, release pushscale";
    is_refused(&helm, &cluster, same_namespace, found);

    pushscale.uninstall();
    // The CRDs stay on purpose. The garbage collector removes the dependents of the ClusterRole a moment later.
    let mut expected = before.clone();
    for resource in ["pushscalers", "pushscalercheckpoints"] {
        let definition =
            format!("customresourcedefinitions.apiextensions.k8s.io/{resource}.pushscale.dev");
        expected.insert(definition, "1".to_owned());
    }
    // Kubernetes creates one for every group and version of a CRD.
    let served = "apiservices.apiregistration.k8s.io/v1alpha1.pushscale.dev".to_owned();
    expected.insert(served, "null".to_owned());
    until_it_is(&cluster, &expected);

    // A new release of the same name adopts the CRDs, and removes them if configured so.
    let mut all = json!({});
    all["crds"] = json!({ "keep": false });
    pushscale.install(&all);
    pushscale.uninstall();
    cluster
        .kubectl(&[
            "wait",
            "--for=delete",
            "crd/pushscalers.pushscale.dev",
            "crd/pushscalercheckpoints.pushscale.dev",
            "--timeout=300s",
        ])
        .unwrap();
    until_it_is(&cluster, &before);
}

/// The APIService of KEDA or an adapter is not taken over.
fn refuses_the_external_metrics_of_another(helm: &Helm, cluster: &TestCluster) {
    let name = "v1beta1.external.metrics.k8s.io";
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": name },
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "service": { "namespace": "keda", "name": "keda-operator-metrics-apiserver" },
            "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    });
    cluster.api().apply(&service.to_string()).unwrap();
    let release = [
        "pushscale",
        "--namespace=pushscale",
        "--set=externalMetrics.enabled=true",
    ];
    let owner = "belongs to Service keda/keda-operator-metrics-apiserver";
    is_refused(helm, cluster, release, owner);
    cluster.kubectl(&["delete", "apiservice", name]).unwrap();
}

/// Checks that Helm does not install the chart `pushscale` with these arguments, for this reason.
fn is_refused(helm: &Helm, cluster: &TestCluster, release: [&str; 3], reason: &str) {
    let chart = directory("pushscale");
    let [name, namespace, set] = release;
    let install = ["install", name, chart.to_str().unwrap(), namespace, set];
    let error = helm.on(cluster, &install, None).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

/// Waits until the cluster has exactly these objects.
fn until_it_is(cluster: &TestCluster, expected: &BTreeMap<String, String>) {
    let start = Instant::now();
    loop {
        let found = objects_of(cluster);
        let other: Vec<_> = found
            .iter()
            .filter(|(name, generation)| expected.get(*name) != Some(generation))
            .collect();
        let missing: Vec<_> = expected
            .keys()
            .filter(|name| !found.contains_key(*name))
            .collect();
        if other.is_empty() && missing.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < MOMENT,
            "left or changed: {other:#?}\nmissing: {missing:#?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Enables Pushscale in the TorchServe chart: a real TorchServe, started by the chart's script and configuration, gets
/// the chart's sidecar, and the chart's aggregator receives its readings. Directories of this machine replace the
/// image.
fn torchserve(helm: &Helm, cluster: &TestCluster) {
    let Some(torchserve) = fleet::local_torchserve() else {
        return;
    };
    fleet::import_scratch(cluster);
    let mut values = torchserve_values(&torchserve);
    values["pushscale"] = json!({ "enabled": true, "drainDeadlineSeconds": 5 });
    values["terminationGracePeriodSeconds"] = json!(600);
    let release = Release::new(helm, cluster, "torchserve", "models");
    release.install(&values);
    fleet::until(fleet::TIMEOUT, "fresh", || {
        let scaler = cluster
            .api()
            .get("models", "pushscaler", "torchserve")
            .unwrap();
        scaler["status"]["pods"]["fresh"] == 1
    });
    // The script forwards SIGTERM to the server. Otherwise the pod would take the whole grace period, and kubectl gives
    // up after five minutes.
    let pods = "--selector=app.kubernetes.io/name=torchserve";
    cluster
        .kubectl(&["-n=models", "delete", "pods", pods, "--wait"])
        .unwrap();
    release.uninstall();
}

struct Release<'a> {
    helm: &'a Helm,
    cluster: &'a TestCluster,
    chart: &'static str,
    namespace: String,
}

impl<'a> Release<'a> {
    fn new(helm: &'a Helm, cluster: &'a TestCluster, chart: &'static str, namespace: &str) -> Self {
        let namespace = format!("--namespace={namespace}");
        Self {
            helm,
            cluster,
            chart,
            namespace,
        }
    }

    fn install(&self, values: &Value) {
        self.put("install", values);
    }

    fn upgrade(&self, values: &Value) {
        self.put("upgrade", values);
    }

    fn put(&self, action: &str, values: &Value) {
        let directory = directory(self.chart);
        let directory = directory.to_str().unwrap();
        self.helm(
            &[action, self.chart, directory, "--wait", "--timeout=300s"],
            Some(values),
        );
    }

    fn rollback(&self) {
        self.helm(&["rollback", self.chart, "--wait", "--timeout=300s"], None);
    }

    fn test(&self) {
        self.helm(&["test", self.chart, "--timeout=300s"], None);
    }

    fn uninstall(&self) {
        self.helm(&["uninstall", self.chart, "--wait", "--timeout=300s"], None);
    }

    fn helm(&self, arguments: &[&str], values: Option<&Value>) {
        let mut all = arguments.to_vec();
        all.push(&self.namespace);
        self.helm
            .on(self.cluster, &all, values)
            .unwrap_or_else(|error| panic!("helm {}: {error}", arguments.join(" ")));
    }
}

#[test]
fn an_image_has_labels_and_an_sbom() {
    // Images need root, like a node.
    if !Shape::Node.available() {
        return;
    }
    for name in ["sidecar", "aggregator", "certificates", "injector"] {
        let archive = image(name);
        let member = |name: &str| {
            let output = Command::new("tar")
                .args(["--extract", "--to-stdout", "--file"])
                .arg(&archive)
                .arg(name)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "no {name} in {}",
                archive.display()
            );
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        };
        let manifest = member("manifest.json");
        assert_eq!(
            manifest[0]["RepoTags"],
            json!([format!("docker.io/pushscale/{name}:{TAG}")])
        );
        let about = member(manifest[0]["Config"].as_str().unwrap());
        let about = &about["config"];
        assert_eq!(about["User"], "65532:65532");
        assert_eq!(about["Entrypoint"], json!([format!("/pushscale-{name}")]));
        let label =
            |name: &str| about["Labels"][format!("org.opencontainers.image.{name}")].clone();
        assert_eq!(label("version"), TAG);
        assert_eq!(label("title"), format!("pushscale-{name}"));
        assert_ne!(label("revision"), "unknown");

        let list = fs::read(archive.with_extension("cdx.json")).unwrap();
        let list: Value = serde_json::from_slice(&list).unwrap();
        let components = list["components"].as_array().unwrap();
        let has = |wanted: &str| {
            components
                .iter()
                .any(|component| component["name"] == wanted)
        };
        assert!(has("hyper") && has("pushscale-protocol"), "{list:#}");
        assert_eq!(has("kube"), name != "sidecar");
    }
}
