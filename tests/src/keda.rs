//! KEDA's operator and metrics adapter, as released: processes next to a control plane, or pods on a node. The
//! manifests are those of the release.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::charts::objects;
use crate::document::Document;
use crate::http;
use crate::objects::route;
use crate::process::Process;
use crate::test_cluster::{self, Image, TestCluster};

const NAMESPACE: &str = "keda";
const ACCOUNT: &str = "keda-operator";
const SECRET: &str = "kedaorg-certs";
const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// The Services of the two programs.
const OPERATOR: &str = "keda-operator";
const ADAPTER: &str = "keda-metrics-apiserver";

/// The address of the external scaler that docs/EXTERNAL-METRICS.md names.
const DOCUMENTED_ADDRESS: &str = "pushscale-keda.pushscale.svc.cluster.local:8497";

/// Returns the objects that docs/EXTERNAL-METRICS.md tells a user of KEDA to create: a PushScaler and a ScaledObject.
/// `address` replaces that of the external scaler.
pub fn documented_objects(namespace: &str, address: Option<&str>) -> [Value; 2] {
    let page = Document::read("EXTERNAL-METRICS.md");
    let text = page.section("KEDA").file("keda.yaml");
    assert!(text.contains(DOCUMENTED_ADDRESS), "{text}");
    let text = text.replace(DOCUMENTED_ADDRESS, address.unwrap_or(DOCUMENTED_ADDRESS));
    let mut found: [Value; 2] = objects(&text).try_into().unwrap();
    for object in &mut found {
        object["metadata"]["namespace"] = json!(namespace);
    }
    found
}

/// The programs and the manifests of the release.
pub struct Release(PathBuf);

impl Release {
    /// Builds the programs if they are missing, which takes minutes and is reported on stderr. Returns `None`, with a
    /// message, if they are missing and Go is not installed, except under `CI=true`.
    pub fn for_test() -> Option<Self> {
        test_cluster::provision_for_test("keda").map(Self)
    }

    /// Runs both programs as processes with KEDA's service account, and returns when the API server finds the adapter
    /// available. `host` is an address of this machine besides loopback.
    pub fn start(&self, cluster: &TestCluster, host: IpAddr) -> Keda {
        self.define(cluster);
        let directory = cluster.logs_dir().join("keda-certificates");
        let certificates = issue_certificates();
        write_files(&directory, &certificates).unwrap();
        let adapter = http::free_address(host);
        for mut object in self.manifests(cluster) {
            match (object["kind"].as_str(), object["metadata"]["name"].as_str()) {
                (Some("Deployment"), _) => continue,
                // No pod is behind it: the address of the process is added below.
                (Some("Service"), Some(ADAPTER)) => {
                    object["spec"].as_object_mut().unwrap().remove("selector");
                }
                (Some("APIService"), _) => {
                    object["spec"]["caBundle"] = json!(encoded(&certificates[0].1));
                }
                _ => {}
            }
            cluster.api().apply(&object.to_string()).unwrap();
        }
        route(cluster, (NAMESPACE, ADAPTER), "https", adapter);

        let metrics_service = http::free_address(Ipv4Addr::LOCALHOST.into());
        let operator = self.run(
            cluster,
            "operator",
            &[
                format!("--cert-dir={}", directory.display()),
                format!("--metrics-service-bind-address={metrics_service}"),
                "--enable-prometheus-metrics=false".to_owned(),
                "--health-probe-bind-address=0".to_owned(),
            ],
        );
        let kubeconfig = operator.kubeconfig().display().to_string();
        let file = |name: &str| directory.join(name).display().to_string();
        let adapter = self.run(
            cluster,
            "adapter",
            &[
                format!("--bind-address={host}"),
                format!("--secure-port={}", adapter.port()),
                // Any free one: the metrics of the adapter.
                "--port=0".to_owned(),
                format!("--tls-cert-file={}", file("tls.crt")),
                format!("--tls-private-key-file={}", file("tls.key")),
                format!("--cert-dir={}", directory.display()),
                format!("--metrics-service-address={metrics_service}"),
                format!("--metrics-service-grpc-authority={OPERATOR}.{NAMESPACE}.svc"),
                format!("--lister-kubeconfig={kubeconfig}"),
                format!("--authentication-kubeconfig={kubeconfig}"),
                format!("--authorization-kubeconfig={kubeconfig}"),
            ],
        );
        until_available(cluster);
        Keda { operator, adapter }
    }

    /// Installs KEDA on a node as a user with certificates of their own does, and waits until it is available. (KEDA
    /// issues certificates itself too, but a kubelet updates mounted Secrets only once in a minute.)
    pub fn install(&self, cluster: &TestCluster) {
        self.define(cluster);
        let certificates = issue_certificates();
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": SECRET, "namespace": NAMESPACE },
            "stringData": certificates.iter().cloned().collect::<BTreeMap<_, _>>(),
        });
        let manifests = self.manifests(cluster).into_iter();
        let (namespaces, rest): (Vec<_>, Vec<_>) =
            manifests.partition(|object| object["kind"] == "Namespace");
        for mut object in namespaces.into_iter().chain([secret]).chain(rest) {
            match object["kind"].as_str() {
                Some("Deployment") => self.use_program(cluster, &mut object),
                Some("APIService") => {
                    object["spec"]["caBundle"] = json!(encoded(&certificates[0].1));
                }
                _ => {}
            }
            cluster.api().apply(&object.to_string()).unwrap();
        }
        until_available(cluster);
    }

    /// Imports the image of a Deployment, made of the program that was built, and turns off the issue of certificates.
    fn use_program(&self, cluster: &TestCluster, deployment: &mut Value) {
        let is_operator = deployment["metadata"]["name"] == OPERATOR;
        let program = if is_operator { "operator" } else { "adapter" };
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        container["imagePullPolicy"] = json!("Never");
        for argument in container["args"].as_array_mut().unwrap() {
            if argument == "--enable-cert-rotation=true" {
                *argument = json!("--enable-cert-rotation=false");
            }
        }
        let inside = container["command"][0].as_str().unwrap();
        let image = Image {
            name: container["image"].as_str().unwrap().to_owned(),
            files: vec![(inside.into(), self.0.join(program), 0o755)],
            entrypoint: vec![inside.to_owned()],
            user: Some("65532:65532".to_owned()),
        };
        cluster.import_image(&image).unwrap();
    }

    /// Applies the CRDs, and waits until they are served.
    pub fn define(&self, cluster: &TestCluster) {
        let directory = self.config("crd");
        let apply = ["apply", "--server-side", "-k", &directory];
        cluster.kubectl(&apply).unwrap();
        let wait = ["wait", "--for=condition=Established", "crd", "--all"];
        cluster
            .kubectl(&[&wait[..], &["--timeout=60s"]].concat())
            .unwrap();
    }

    /// Returns all other objects of an installation without admission webhooks.
    fn manifests(&self, cluster: &TestCluster) -> Vec<Value> {
        let parts = [
            "general",
            "service_account",
            "rbac",
            "metrics-server",
            "manager",
        ];
        let render = |part| cluster.kubectl(&["kustomize", &self.config(part)]).unwrap();
        parts
            .iter()
            .flat_map(|part| objects(&render(part)))
            .collect()
    }

    fn config(&self, part: &str) -> String {
        self.0.join("config").join(part).display().to_string()
    }

    fn run(&self, cluster: &TestCluster, program: &str, arguments: &[String]) -> Process {
        let mut command = cluster.command(self.0.join(program).to_str().unwrap());
        command.args(arguments);
        let settings = [
            ("WATCH_NAMESPACE", ""),
            ("POD_NAMESPACE", NAMESPACE),
            ("KEDA_CLUSTER_OBJECT_NAMESPACE", NAMESPACE),
        ];
        Process::start(cluster, NAMESPACE, ACCOUNT, command, &settings)
    }
}

/// The two processes, killed when dropped.
pub struct Keda {
    operator: Process,
    adapter: Process,
}

impl Keda {
    /// Returns the logs.
    pub fn log(&self) -> String {
        format!(
            "operator:\n{}\nadapter:\n{}",
            self.operator.log(),
            self.adapter.log()
        )
    }
}

/// Issues the certificate that both programs use for each other and for the API server, and returns the files of KEDA's
/// Secret. The first one is the CA for the APIService.
fn issue_certificates() -> [(&'static str, String); 3] {
    let ca = Authority::new("keda");
    let [operator, adapter] = [OPERATOR, ADAPTER].map(|name| format!("{name}.{NAMESPACE}.svc"));
    // On a node, the adapter uses the full name.
    let full = format!("{operator}.cluster.local");
    let (certificate, key) = ca.issue(&[&operator, &full, &adapter]);
    [
        ("ca.crt", ca.pem()),
        ("tls.crt", certificate),
        ("tls.key", key),
    ]
}

fn write_files(directory: &Path, files: &[(&str, String)]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut files = files.iter();
    files.try_for_each(|(name, text)| fs::write(directory.join(name), text))
}

/// Encodes a value as in the API's JSON.
fn encoded(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

fn until_available(cluster: &TestCluster) {
    let service = format!("apiservice/{API_SERVICE}");
    let wait = ["wait", "--for=condition=Available", &service];
    let timeout = ["--timeout=280s"];
    cluster.kubectl(&[&wait[..], &timeout].concat()).unwrap();
}
