//! The node shape: containers, services, DNS.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;

use pushscale_tests::test_cluster::{ClusterError, Shape, TestCluster};

use crate::{PROBE, eventually, import_probe};

/// The cluster of all tests of this file and of `sidecar`. Its supervisor removes it after the last one.
pub(crate) fn shared_cluster() -> Option<&'static TestCluster> {
    static CLUSTER: OnceLock<Option<TestCluster>> = OnceLock::new();
    let start = || {
        let cluster = TestCluster::start(Shape::Node).unwrap();
        import_probe(&cluster);
        cluster
    };
    CLUSTER
        .get_or_init(|| Shape::Node.available().then(start))
        .as_ref()
}

#[test]
fn pods_run_and_reach_services_and_dns() {
    let Some(cluster) = shared_cluster() else {
        return;
    };
    cluster.api().apply(&web("web")).unwrap();
    cluster
        .kubectl(&["rollout", "status", "deployment/web", "--timeout=300s"])
        .unwrap();
    let in_pod = |arguments: &[&str]| {
        let exec = ["exec", "deployment/web", "--", "/probe"];
        cluster.kubectl(&[&exec, arguments].concat()).unwrap()
    };
    let pod_addresses = cluster
        .kubectl(&["get", "pods", "--selector=app=web", POD_ADDRESSES])
        .unwrap();
    let service_address = service_address(cluster, "web");

    // Names: the API, a Service, a headless Service, and none outside the cluster.
    assert_eq!(
        in_pod(&["resolve", "kubernetes.default.svc"]).trim(),
        "10.96.0.1"
    );
    assert_eq!(in_pod(&["resolve", "web"]).trim(), service_address);
    eventually("both pods behind the headless name", || {
        let answer = in_pod(&["resolve", "web-headless.default.svc.cluster.local"]);
        sorted(&answer) == sorted(&pod_addresses)
    });
    let outside = ["exec", "deployment/web", "--"];
    let error = cluster
        .kubectl(&[&outside[..], &["/probe", "resolve", "nowhere.test"]].concat())
        .unwrap_err();
    assert!(error.to_string().contains("no such host"), "{error}");

    // Addresses: the API's and the Service's, from a pod and from the node. Each Service has two
    // pods, so ten requests from one of them reach both.
    assert!(in_pod(&["get", "https://10.96.0.1/version"]).contains("v1.37.2"));
    for _ in 0..10 {
        assert!(in_pod(&["get", "http://web/from-a-pod"]).contains("200 OK"));
    }
    let from_node = cluster
        .command("probe")
        .args(["get", &format!("http://{service_address}/from-the-node")])
        .output()
        .unwrap();
    assert!(from_node.status.success(), "{from_node:?}");

    // The logs of the pods, read through kubelet.
    let logs = cluster
        .kubectl(&["logs", "--selector=app=web", "--tail=-1"])
        .unwrap();
    assert!(logs.contains("GET /from-a-pod"), "{logs}");
    assert!(logs.contains("GET /from-the-node"), "{logs}");
}

#[test]
fn a_thread_can_enter_the_network_while_others_stay_outside() {
    let Some(cluster) = shared_cluster() else {
        return;
    };
    let namespace = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let outside = namespace();
    std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            cluster.enter().unwrap();
            assert_ne!(namespace(), outside);
            // Its threads and processes are inside, too.
            let inside = namespace();
            assert_eq!(scope.spawn(namespace).join().unwrap(), inside);
            let printed = Command::new("readlink").arg("/proc/self/ns/net").output();
            assert_eq!(
                String::from_utf8(printed.unwrap().stdout).unwrap().trim(),
                inside.to_str().unwrap()
            );
            TcpStream::connect((cluster.address(), 6443)).unwrap();
        });
        entered.join().unwrap();
        assert_eq!(scope.spawn(namespace).join().unwrap(), outside);
    });
}

#[test]
fn the_control_plane_shape_has_no_images() {
    let cluster = TestCluster::start(Shape::ControlPlane).unwrap();
    let error = cluster.import_image(&Default::default()).unwrap_err();
    assert!(matches!(error, ClusterError::Request { .. }), "{error}");
}

/// Returns two pods that serve, a Service, and a headless Service.
fn web(name: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name} }}
spec:
  replicas: 2
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: {PROBE}
          imagePullPolicy: Never
          args: [serve]
          readinessProbe: {{ httpGet: {{ path: /, port: 8080 }}, periodSeconds: 1 }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec:
  selector: {{ app: {name} }}
  ports: [{{ port: 80, targetPort: 8080 }}]
---
apiVersion: v1
kind: Service
metadata: {{ name: {name}-headless }}
spec:
  clusterIP: None
  selector: {{ app: {name} }}
"
    )
}

const POD_ADDRESSES: &str = r#"--output=jsonpath={range .items[*]}{.status.podIP}{"\n"}{end}"#;

fn service_address(cluster: &TestCluster, name: &str) -> String {
    let output = "--output=jsonpath={.spec.clusterIP}";
    cluster.kubectl(&["get", "service", name, output]).unwrap()
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<_> = lines.split_whitespace().collect();
    lines.sort_unstable();
    lines
}
