//! A real API server calls the injector, and validates the injected pods.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use pushscale_daemon::config::Settings;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_injector::{PROGRAM, bind};
use pushscale_tests::http;
use pushscale_tests::injector::certify;
use pushscale_tests::namespace::{Namespace, TIMEOUT};
use pushscale_tests::programs::repository;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cluster;

const SIDECAR: &str = "pushscale-sidecar";

/// A pod that the API server rejects would also be rejected after a webhook's patch.
#[tokio::test]
async fn every_injected_pod_is_accepted_by_the_api_server() {
    let namespace = Namespace::create(cluster(), "injected-files");
    http::until(TIMEOUT, || async {
        !namespace.list("serviceaccount").is_empty()
    })
    .await;
    let mut files = 0;
    for entry in fs::read_dir(repository().join("crates/injector/testdata")).unwrap() {
        let file = entry.unwrap().path().join("after.yaml");
        let path = file.to_str().unwrap();
        let made = namespace.kubectl(&["create", "--dry-run=server", "-f", path, "-o", "json"]);
        let pod: Value = serde_json::from_str(&made).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let has_sidecar = sidecars(&pod) == 1;
        let injected = text.starts_with("# Injected");
        assert!(
            has_sidecar == injected || text.contains("lready"),
            "{path}: {made}"
        );
        files += 1;
    }
    assert!(files >= 24, "only {files} files");
}

#[tokio::test]
async fn pods_get_the_sidecar_and_start_without_it_if_the_injector_is_down() {
    let namespace = Namespace::create(cluster(), "injection");
    let label = |label: &str| {
        namespace
            .cluster
            .kubectl(&["label", "namespace", "injection", label])
    };
    label("pushscale.dev/inject=enabled").unwrap();
    // Pod Security would reject the pod of a sidecar that is not restricted.
    label("pod-security.kubernetes.io/enforce=restricted").unwrap();
    let injector = Injector::start(&namespace).await;

    deploy(&namespace, "plain", "");
    let pod = pod_of(&namespace, "plain", 1).await;
    assert_eq!(pod["spec"]["initContainers"][0]["name"], SIDECAR, "{pod:#}");
    assert_eq!(pod["spec"]["initContainers"][0]["restartPolicy"], "Always");
    let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"];
    assert_eq!(hook["path"], "/drain");
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 35);
    let version = env!("CARGO_PKG_VERSION");
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["pushscale.dev/injected"], version);

    // Both entries of the webhook select this pod, so it is reviewed twice.
    deploy(
        &namespace,
        "twice",
        "labels: { pushscale.dev/inject: enabled }",
    );
    let pod = pod_of(&namespace, "twice", 1).await;
    assert_eq!(sidecars(&pod), 1, "{pod:#}");
    assert!(pod["metadata"]["annotations"]["pushscale.dev/skipped"].is_null());

    deploy(
        &namespace,
        "bad",
        "annotations: { pushscale.dev/scrape-interval: 1h }",
    );
    let pod = pod_of(&namespace, "bad", 1).await;
    assert_eq!(sidecars(&pod), 0, "{pod:#}");
    let expected =
        "InvalidAnnotation: pushscale.dev/scrape-interval is \"1h\": it must be a duration";
    let skipped = pod["metadata"]["annotations"]["pushscale.dev/skipped"].as_str();
    assert!(skipped.unwrap().starts_with(expected), "{pod:#}");
    http::until(TIMEOUT, || async {
        namespace.list("event").iter().any(|event| {
            event["reason"] == "InvalidAnnotation" && event["regarding"]["kind"] == "ReplicaSet"
        })
    })
    .await;
    let metrics = http::get(injector.admin, "/metrics").await.body;
    for labels in [
        "outcome=\"injected\",reason=\"\"",
        "outcome=\"skipped\",reason=\"invalid_annotation\"",
        "outcome=\"skipped\",reason=\"already_injected\"",
    ] {
        let series = format!("pushscale_injector_pods_total{{{labels}}} ");
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix(&series)?.parse().ok());
        // At least once: on a busy machine the API server asked twice about one pod.
        assert!(matches!(count, Some(1_u64..)), "{series}in\n{metrics}");
    }

    // A new certificate is served without a restart.
    injector.certify();
    injector.configure(&namespace);
    deploy(&namespace, "renewed", "");
    http::until(TIMEOUT, || async {
        // The API server may get the new CA before or after the injector gets the certificate.
        let pod = pod_of(&namespace, "renewed", 1).await;
        let injected = sidecars(&pod) == 1;
        if !injected {
            namespace.kubectl(&["delete", "pods", "-l", "app=renewed", "--now"]);
        }
        injected
    })
    .await;

    injector.kill();
    namespace.kubectl(&["scale", "deployment/plain", "--replicas=2"]);
    let pods = pods_of(&namespace, "plain", 2).await;
    let mut found: Vec<_> = pods.iter().map(sidecars).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 1]);
    namespace.kubectl(&[
        "delete",
        "mutatingwebhookconfiguration",
        "pushscale-injector",
    ]);
}

/// An injector with its permissions and its own certificate.
struct Injector {
    runtime: Runtime,
    address: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    directory: PathBuf,
}

impl Injector {
    async fn start(namespace: &Namespace<'_>) -> Self {
        let directory = namespace.cluster.logs_dir().join("injector-tls");
        certify(&directory);
        let client = client_of_its_account(namespace).await;
        let settings = Settings::from_pairs(
            &PROGRAM,
            [
                ("PUSHSCALE_INJECTOR_LISTEN", "127.0.0.1:0"),
                ("PUSHSCALE_INJECTOR_ADMIN_LISTEN", "127.0.0.1:0"),
                ("PUSHSCALE_INJECTOR_TLS_DIR", directory.to_str().unwrap()),
                ("PUSHSCALE_INJECTOR_POD_NAMESPACE", "pushscale"),
            ],
        );
        let config = pushscale_injector::Config::from_settings(settings.unwrap()).unwrap();
        // A separate runtime, which can be killed.
        let runtime = Runtime::new().unwrap();
        let (expected, bound_at) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let bound = bind(config).await.unwrap();
            expected
                .send((bound.address(), bound.admin_address()))
                .unwrap();
            bound
                .run_with(Some(client.await), Shutdown::new())
                .await
                .unwrap();
        });
        let (address, admin) = bound_at.await.unwrap();
        http::until(TIMEOUT, || async {
            http::get(admin, "/ready").await.status == 200
        })
        .await;
        let injector = Self {
            runtime,
            address,
            admin,
            directory,
        };
        injector.configure(namespace);
        injector
    }

    fn certify(&self) {
        certify(&self.directory);
    }

    /// Configures the webhook like the chart: one entry selects by the namespace's label, one by the pod's.
    fn configure(&self, namespace: &Namespace<'_>) {
        let authority = fs::read(self.directory.join("tls.crt")).unwrap();
        let entry = |name: &str, selectors: &str| {
            format!(
                "- name: {name}.injector.pushscale.dev\n  admissionReviewVersions: [v1]\n  sideEffects: NoneOnDryRun\n  \
                 failurePolicy: Ignore\n  timeoutSeconds: 5\n  \
                 clientConfig: {{ url: 'https://{}/inject', caBundle: {} }}\n  \
                 rules: [ {{ apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods] }} ]\n  {selectors}\n",
                self.address,
                base64(&authority),
            )
        };
        let by_label = "{ matchLabels: { pushscale.dev/inject: enabled } }";
        namespace.apply(&format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n\
             metadata: {{ name: pushscale-injector }}\nwebhooks:\n{}{}",
            entry("namespace", &format!("namespaceSelector: {by_label}")),
            entry("pod", &format!("objectSelector: {by_label}")),
        ));
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Returns a client with exactly the permissions that the injector needs.
async fn client_of_its_account(namespace: &Namespace<'_>) -> impl Future<Output = Client> + use<> {
    namespace
        .cluster.api()
        .apply(
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: pushscale }\n---\n\
             apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: pushscale-injector, namespace: pushscale }\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: pushscale-injector }\n\
             rules: [ { apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch] } ]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: { name: pushscale-injector }\n\
             roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pushscale-injector }\n\
             subjects: [ { kind: ServiceAccount, name: pushscale-injector, namespace: pushscale } ]\n",
        )
        .unwrap();
    let token = namespace
        .cluster
        .kubectl(&["-n", "pushscale", "create", "token", "pushscale-injector"])
        .unwrap();
    let kubeconfig = Kubeconfig::read_from(namespace.cluster.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.auth_info = kube::config::AuthInfo {
        token: Some(token.trim().to_owned().into()),
        ..kube::config::AuthInfo::default()
    };
    // Created in the runtime that uses it, since its connections belong to that runtime.
    async move { Client::try_from(config).unwrap() }
}

fn deploy(namespace: &Namespace<'_>, name: &str, metadata: &str) {
    let (labels, rest) = match metadata.strip_prefix("labels: { ") {
        Some(label) => (format!("{{ app: {name}, {label}"), ""),
        None => (format!("{{ app: {name} }}"), metadata),
    };
    namespace.apply(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, namespace: NAMESPACE }}\n\
         spec:\n  replicas: 1\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    \
         metadata:\n      labels: {labels}\n      {rest}\n    \
         spec:\n      securityContext: {{ runAsNonRoot: true, runAsUser: 1000 }}\n      containers:\n        \
         - name: torchserve\n          image: none\n          securityContext:\n            \
         allowPrivilegeEscalation: false\n            capabilities: {{ drop: [ALL] }}\n            \
         seccompProfile: {{ type: RuntimeDefault }}\n"
    ));
}

async fn pod_of(namespace: &Namespace<'_>, app: &str, count: usize) -> Value {
    pods_of(namespace, app, count).await.remove(0)
}

async fn pods_of(namespace: &Namespace<'_>, app: &str, count: usize) -> Vec<Value> {
    let start = std::time::Instant::now();
    loop {
        let pods = namespace.pods(app);
        if pods.len() == count {
            return pods;
        }
        assert!(
            start.elapsed() < TIMEOUT,
            "{} pods, not {count}",
            pods.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn sidecars(pod: &Value) -> usize {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|list| pod["spec"][list].as_array())
        .flatten()
        .filter(|container| container["name"] == SIDECAR)
        .count()
}
