//! On a real node, with the images that `make image` has built: the charts are installed, upgraded, rolled back and uninstalled, and
//! nothing is left but what is meant to stay.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pushscale_simulator::kit::Kit;
use pushscale_tests::charts::{Helm, folder};
use pushscale_tests::fleet;
use pushscale_tests::programs::image;
use pushscale_tests::rig::{Image, Rig, Shape};
use serde_json::{Value, json};

const TAG: &str = env!("CARGO_PKG_VERSION");

/// What comes and goes by itself, or is Kubernetes' own record of what happened.
const NOT_LOOKED_AT: [&str; 9] = [
    "bindings",
    "componentstatuses",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "servicecidrs.networking.k8s.io",
];

#[test]
fn the_charts_come_and_go_without_a_trace() {
    if !Shape::Node.available() {
        return;
    }
    let Some(helm) = Helm::for_test() else { return };
    let rig = Rig::start(Shape::Node).unwrap();
    for name in ["sidecar", "aggregator"] {
        rig.import_archive(&format!("pushscale/{name}:{TAG}"), &image(name))
            .unwrap();
    }
    for namespace in ["pushscale", "models"] {
        rig.kubectl(&["create", "namespace", namespace]).unwrap();
    }
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    rig.kubectl(&["label", "namespace", "pushscale", restricted])
        .unwrap();
    let before = objects_of(&rig);

    let pushscale = Release::new(&helm, &rig, "pushscale", "pushscale");
    pushscale.install(&plain());
    pushscale.test();
    let first = objects_of(&rig);
    assert!(
        first
            .keys()
            .any(|name| name.contains("pushscale-aggregator")),
        "{first:#?}"
    );

    let mut changed = plain();
    changed["logLevel"] = json!("debug");
    pushscale.upgrade(&changed);
    let level = "-o=jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"PUSHSCALE_AGGREGATOR_LOG\")].value}";
    let of = [
        "-n=pushscale",
        "get",
        "deployment/pushscale-aggregator",
        level,
    ];
    assert_eq!(rig.kubectl(&of).unwrap(), "debug");
    pushscale.rollback();
    assert_eq!(rig.kubectl(&of).unwrap(), "info");

    torchserve(&helm, &rig);

    pushscale.uninstall();
    let mut after = objects_of(&rig);
    // The definition is meant to stay.
    let kept: Vec<_> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .cloned()
        .collect();
    assert_eq!(
        kept,
        ["customresourcedefinitions.apiextensions.k8s.io/pushscalers.pushscale.dev"]
    );
    after.remove(&kept[0]);
    assert_eq!(before, after);

    // A new release of the name takes the definition over, and takes it away if it is told so.
    let mut all = plain();
    all["crds"] = json!({ "keep": false });
    pushscale.install(&all);
    pushscale.uninstall();
    rig.kubectl(&[
        "wait",
        "--for=delete",
        "crd/pushscalers.pushscale.dev",
        "--timeout=60s",
    ])
    .unwrap();
    assert_eq!(before, objects_of(&rig));
}

/// The switch: a real TorchServe, started by the chart's own script and configuration, has the chart's sidecar, and the chart's aggregator
/// hears of it. Folders of this machine stand for the image.
fn torchserve(helm: &Helm, rig: &Rig) {
    let Some(kit) = fleet::kit() else { return };
    let scratch = "pushscale.test/scratch:1".to_owned();
    rig.import_image(&Image {
        name: scratch,
        ..Image::default()
    })
    .unwrap();
    let store = model_store(&kit);
    let pod = fleet::torchserve_pod(&kit);
    let mut volumes = pod["spec"]["volumes"].as_array().unwrap().clone();
    volumes.push(json!({ "name": "store", "hostPath": { "path": store } }));
    let container = &pod["spec"]["containers"][0];
    let mut mounts = container["volumeMounts"].as_array().unwrap().clone();
    mounts.push(json!({ "name": "store", "mountPath": "/store", "readOnly": true }));
    let path = format!("{}:/usr/bin:/bin", kit.venv().join("bin").display());
    let values = json!({
        "image": { "repository": "pushscale.test/scratch", "tag": "1", "pullPolicy": "Never" },
        "modelStore": { "path": "/store" },
        "extraEnv": [
            { "name": "PATH", "value": path },
            { "name": "HOME", "value": "/tmp" },
            { "name": "TMPDIR", "value": "/tmp" },
            { "name": "LOG_LOCATION", "value": "/tmp/logs" },
            { "name": "METRICS_LOCATION", "value": "/tmp/logs" },
            { "name": "PYTHONPATH", "value": "/kit/stub" },
        ],
        "extraVolumes": volumes,
        "extraVolumeMounts": mounts,
        // This machine's folders are its root's.
        "podSecurityContext": null,
        "resources": null,
        "config": { "defaultWorkersPerModel": 1 },
        "probes": { "model": "sleepy" },
        "pushscale": { "enabled": true, "trust": "none", "drainDeadlineSeconds": 5 },
    });
    let release = Release::new(helm, rig, "torchserve", "models");
    release.install(&values);
    fleet::until(Duration::from_secs(60), "heard", || {
        let fresh = "-o=jsonpath={.status.pods.fresh}";
        let told = rig.kubectl(&["-n=models", "get", "pushscaler/torchserve", fresh]);
        told.unwrap() == "1"
    });
    // Without the script it would take the whole grace period of 35 s.
    let began = Instant::now();
    let pods = "--selector=app.kubernetes.io/name=torchserve";
    rig.kubectl(&["-n=models", "delete", "pods", pods, "--wait"])
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    release.uninstall();
}

/// A folder with the simulator's sleeping model.
fn model_store(kit: &Kit) -> PathBuf {
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("model-store");
    fs::create_dir_all(&store).unwrap();
    let script = "import pathlib, sys\nsys.path.insert(0, sys.argv.pop(1))\nstore = pathlib.Path(sys.argv.pop(1))\n\
                  import start\nstart.write_models(store, start.parse())\n";
    let made = Command::new(kit.python())
        .args(["-B", "-c", script])
        .arg(kit.script().parent().unwrap())
        .arg(&store)
        .status()
        .unwrap();
    assert!(made.success());
    store
}

/// What the programs of this branch can do: no TLS, no tokens, no injector.
fn plain() -> Value {
    json!({ "tls": { "mode": "disabled" }, "auth": "none", "injector": { "enabled": false } })
}

struct Release<'a> {
    helm: &'a Helm,
    rig: &'a Rig,
    chart: &'static str,
    namespace: String,
}

impl<'a> Release<'a> {
    fn new(helm: &'a Helm, rig: &'a Rig, chart: &'static str, namespace: &str) -> Self {
        let namespace = format!("--namespace={namespace}");
        Self {
            helm,
            rig,
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
        let folder = folder(self.chart);
        let folder = folder.to_str().unwrap();
        self.helm(
            &[action, self.chart, folder, "--wait", "--timeout=120s"],
            Some(values),
        );
    }

    fn rollback(&self) {
        self.helm(&["rollback", self.chart, "--wait", "--timeout=120s"], None);
    }

    fn test(&self) {
        self.helm(&["test", self.chart, "--timeout=60s"], None);
    }

    fn uninstall(&self) {
        self.helm(&["uninstall", self.chart, "--wait", "--timeout=120s"], None);
    }

    fn helm(&self, arguments: &[&str], values: Option<&Value>) {
        let mut all = arguments.to_vec();
        all.push(&self.namespace);
        self.helm
            .on(self.rig, &all, values)
            .unwrap_or_else(|said| panic!("helm {}: {said}", arguments.join(" ")));
    }
}

/// All objects of the cluster, by resource, namespace and name, each with its generation.
fn objects_of(rig: &Rig) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let resources = rig
        .kubectl(&["api-resources", "--verbs=list", "-o=name"])
        .unwrap();
    for resource in resources
        .lines()
        .filter(|name| !NOT_LOOKED_AT.contains(name))
    {
        let list = rig
            .kubectl(&["get", resource, "--all-namespaces", "-o=json"])
            .unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        for object in list["items"].as_array().unwrap() {
            let about = &object["metadata"];
            let namespace = about["namespace"].as_str().map(|name| format!("{name}/"));
            let name = about["name"].as_str().unwrap();
            let name = format!("{resource}/{}{name}", namespace.unwrap_or_default());
            all.insert(name, about["generation"].to_string());
        }
    }
    all
}

#[test]
fn an_image_says_what_it_is_and_what_it_is_made_of() {
    // Who cannot run a node cannot build an image either.
    if !Shape::Node.available() {
        return;
    }
    for name in ["sidecar", "aggregator"] {
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
        assert_eq!(has("kube"), name == "aggregator");
    }
}
