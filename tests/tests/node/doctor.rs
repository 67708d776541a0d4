//! `pushscale doctor` names what is broken on a real node: one Deployment of the chart, broken in one way after the
//! other. Checks that need no kubelet are also in tests/tests/cluster.

use std::io::{self, Write as _};
use std::time::Instant;

use pushscale_tests::clock;
use pushscale_tests::document::{Document, Reader};
use pushscale_tests::fleet::{HANG, pause};
use pushscale_tests::load::LoadGenerator;
use pushscale_tests::programs;
use pushscale_tests::torchserve_values::{batching_values, torchserve_values};
use serde_json::json;

use crate::chart_node::ChartNode;

/// A way to break the installation or the Deployment.
struct Case {
    /// The commands that break it.
    breaks: &'static str,
    /// Parts of the output.
    finds: &'static [&'static str],
    /// The commands that repair it.
    repairs: &'static str,
}

const CASES: [Case; 15] = [
    Case {
        breaks: "kubectl -n models autoscale deployment/torchserve --max=3 --cpu=50%",
        finds: &["HorizontalPodAutoscaler torchserve also scales Deployment/torchserve"],
        repairs: "kubectl -n models delete hpa torchserve",
    },
    Case {
        breaks: "sed 's/name: torchserve$/name: second/' pushscaler.yaml | kubectl -n models apply -f -",
        finds: &["PushScaler second also scales Deployment/torchserve"],
        repairs: "kubectl -n models delete pushscaler second",
    },
    Case {
        breaks: "kubectl -n models scale deployment/torchserve --replicas=0",
        finds: &["the target has 0 replicas"],
        repairs: "kubectl -n models scale deployment/torchserve --replicas=1",
    },
    // The CNI plugin of the node enforces no policies.
    Case {
        breaks: "kubectl -n models apply -f no-egress.yaml",
        finds: &["no rule permits TCP 8490 to the aggregator"],
        repairs: "kubectl -n models delete -f no-egress.yaml",
    },
    Case {
        breaks: "kubectl -n models apply -f no-dns.yaml",
        finds: &["no rule permits UDP 53"],
        repairs: "kubectl -n models delete -f no-dns.yaml",
    },
    Case {
        breaks: "kubectl -n pushscale scale deployment/pushscale-certificates --replicas=0
                 kubectl -n pushscale wait --for=delete pod -l app.kubernetes.io/name=pushscale-certificates --timeout=280s
                 kubectl -n models delete configmap pushscale-ca",
        finds: &["ConfigMap models/pushscale-ca does not exist"],
        repairs: "kubectl -n pushscale scale deployment/pushscale-certificates --replicas=1",
    },
    Case {
        breaks: "pods=$(kubectl -n models get pods --no-headers | wc -l)
                 kubectl -n models create quota small --hard=pods=$pods
                 kubectl -n models patch pushscaler torchserve --type=merge -p \"{\\\"spec\\\":{\\\"minReplicas\\\":$((pods + 1))}}\"",
        finds: &["pods are not created: ", "exceeded quota: small", "pods is used up ("],
        repairs: "kubectl -n models delete quota small
                  kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"minReplicas\":1}}'
                  kubectl -n models scale deployment/torchserve --replicas=1",
    },
    Case {
        breaks: "kubectl -n models set resources deployment/torchserve --requests=cpu=1000",
        finds: &["it is not scheduled: 0/1 nodes are available"],
        repairs: "kubectl -n models rollout undo deployment/torchserve",
    },
    Case {
        breaks: "kubectl -n models patch deployment torchserve --type=json \
                 -p '[{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/ports/-\",\"value\":{\"containerPort\":8492}}]'",
        finds: &["no sidecar: ", "8492"],
        repairs: "kubectl -n models rollout undo deployment/torchserve",
    },
    Case {
        breaks: "helm upgrade pushscale helm/pushscale --namespace pushscale --reuse-values --set sidecar.image.tag=0.0.1 --wait
                 kubectl -n models rollout restart deployment/torchserve",
        finds: &["the sidecar does not run: ", "sidecars 0.0.1, 0.1.0, aggregator 0.1.0", "the versions differ"],
        repairs: "helm rollback pushscale --namespace pushscale --wait
                  kubectl -n models rollout undo deployment/torchserve",
    },
    Case {
        breaks: "kubectl -n pushscale set image deployment/pushscale-aggregator aggregator=pushscale/aggregator:0.0.1",
        finds: &["not ready: pushscale-aggregator-"],
        repairs: "kubectl -n pushscale rollout undo deployment/pushscale-aggregator",
    },
    // The request for CPU stays: an earlier case has set it with kubectl.
    Case {
        breaks: "helm upgrade torchserve helm/torchserve --namespace models --reset-values --values my-values.yaml \
                 --set resources=null --set config.metricsMode=log --set config.metricsAddress=http://127.0.0.1:9082",
        finds: &[
            "has no request for memory",
            "metrics_mode=log",
            "the sidecar scrapes a port on which TorchServe serves no metrics",
            "ScalingActive=False",
        ],
        repairs: "helm rollback torchserve --namespace models",
    },
    // The probes and the clients have no token either.
    Case {
        breaks: "helm upgrade torchserve helm/torchserve --namespace models --reset-values --values my-values.yaml \
                 --values tcp-probes.yaml --set config.tokenAuthorization=true",
        finds: &[
            "MetricsIncomplete=True",
            "allow the sidecar to read the management port",
            "pushscale.dev/management-token-file if it requires a token",
        ],
        repairs: "helm rollback torchserve --namespace models",
    },
    // Longer than the target of 50 ms.
    Case {
        breaks: "helm upgrade torchserve helm/torchserve --namespace models --reset-values --values batching.yaml",
        finds: &["TargetReachable=False, BatchDelayAboveTarget"],
        repairs: "helm rollback torchserve --namespace models",
    },
    // Helm would not overwrite what kubectl has changed, so this comes after its upgrades.
    Case {
        breaks: "kubectl -n pushscale get networkpolicy pushscale-aggregator -o=jsonpath='{.spec.ingress}' >ingress.json
                 kubectl -n pushscale patch networkpolicy pushscale-aggregator --type=merge -p '{\"spec\":{\"ingress\":[]}}'",
        finds: &["no rule permits TCP 8490 from the pods"],
        repairs: "kubectl -n pushscale patch networkpolicy pushscale-aggregator --type=merge -p \"{\\\"spec\\\":{\\\"ingress\\\":$(cat ingress.json)}}\"",
    },
];

/// Without the permission, no aggregator repairs its Lease.
const LEASE: [Case; 3] = [
    Case {
        breaks: "kubectl -n pushscale delete rolebinding pushscale-aggregator-lease",
        finds: &["the leader does not renew its Lease"],
        repairs: "",
    },
    Case {
        breaks: "kubectl -n pushscale patch lease pushscale-aggregator --type=merge \
                 -p '{\"spec\":{\"holderIdentity\":\"other_1\",\"renewTime\":\"2199-01-01T00:00:00.000000Z\"}}'",
        finds: &[
            "two installations may share a Lease",
            "ahead of this machine's",
        ],
        repairs: "",
    },
    Case {
        breaks: "kubectl -n pushscale patch lease pushscale-aggregator --type=merge -p '{\"spec\":{\"holderIdentity\":\"\"}}'",
        finds: &["no aggregator writes replicas"],
        repairs: "",
    },
];

const NO_EGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: no-egress }
spec: { podSelector: {}, policyTypes: [Egress] }
";

const NO_DNS: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: no-dns }
spec: { podSelector: {}, policyTypes: [Egress], egress: [{ ports: [{ port: 8490 }] }] }
";

/// Probes that need no token. Only a hang takes 300 s.
const TCP_PROBES: &str = "
probes:
  startup: &tcp { tcpSocket: { port: inference }, periodSeconds: 1, failureThreshold: 300 }
  readiness: *tcp
  liveness: *tcp
";

#[test]
fn doctor_names_what_is_broken() {
    let values = json!({ "injector": { "enabled": true } });
    let Some(node) = ChartNode::start(&values) else {
        return;
    };
    let mut reader = node.reader("doctor");
    let mut values = torchserve_values(&node.torchserve);
    let mut batching = batching_values(&node.torchserve);
    for values in [&mut values, &mut batching] {
        values["resources"] = json!({ "requests": { "cpu": "10m", "memory": "64Mi" } });
    }
    for (name, text) in [
        ("my-values.yaml", values.to_string()),
        ("no-egress.yaml", NO_EGRESS.to_owned()),
        ("no-dns.yaml", NO_DNS.to_owned()),
        ("tcp-probes.yaml", TCP_PROBES.to_owned()),
        ("batching.yaml", batching.to_string()),
    ] {
        reader.write(name, &text);
    }
    reader.run("kubectl create namespace models");
    reader.run("kubectl label namespace models pushscale.dev/inject=enabled");
    reader.run(
        "helm install torchserve helm/torchserve --namespace models --values my-values.yaml --wait",
    );
    let page = Document::read("INSTALL.md");
    let scaler = page
        .section("Labelling the namespace")
        .file("pushscaler.yaml");
    reader.write("pushscaler.yaml", scaler);
    reader.run("kubectl -n models apply -f pushscaler.yaml");
    // Without requests, the conditions report a problem until the service time is known.
    let path = "-o=jsonpath={.spec.clusterIP}:8080";
    let service = ["-n", "models", "get", "service", "torchserve", path];
    let address = node.cluster.kubectl(&service).unwrap();
    let _load = LoadGenerator::start(&node.cluster, "doctor", &address, &["1:3600"]);
    until_found(&node, &[" 0 failed"]);
    measure(&node);
    // The clock of this machine is ten minutes behind the node's.
    let late = clock::shifted(&node.cluster, -600);
    let expected = ["FAIL   clock", " s ahead of this machine's", " 1 failed"];
    until_found_with(&node, &late, &expected);
    for case in CASES {
        find(&node, &mut reader, &case);
        reader.run(case.repairs);
        until_found(&node, &[" 0 failed"]);
    }
    // More than one pod can serve.
    let max = r#"{"spec":{"maxReplicas":1}}"#;
    let patch = "kubectl -n models patch pushscaler torchserve --type=merge";
    reader.run(&format!("{patch} -p '{max}'"));
    let overload = LoadGenerator::start(&node.cluster, "overload", &address, &["40:3600"]);
    until_found(&node, &["ScalingLimited=True, TooManyReplicas"]);
    drop(overload);
    for case in LEASE {
        find(&node, &mut reader, &case);
    }
}

fn find(node: &ChartNode, reader: &mut Reader, case: &Case) {
    reader.run(case.breaks);
    until_found(node, case.finds);
}

fn until_found(node: &ChartNode, expected: &[&str]) {
    until_found_with(node, &[], expected);
}

/// The same for a `doctor` with these variables in its environment.
fn until_found_with(node: &ChartNode, environment: &[(&str, String)], expected: &[&str]) {
    let began = Instant::now();
    loop {
        let polled = Instant::now();
        let found = run(node, &["doctor"], environment);
        if expected.iter().all(|part| found.contains(part)) {
            return;
        }
        assert!(began.elapsed() < HANG, "{expected:?} is not in\n{found}");
        pause(polled.elapsed());
    }
}

/// Returns the output of a command.
fn pushscale(node: &ChartNode, arguments: &[&str]) -> String {
    run(node, arguments, &[])
}

/// The same, with these variables in its environment.
fn run(node: &ChartNode, arguments: &[&str], environment: &[(&str, String)]) -> String {
    let mut command = node
        .cluster
        .command(programs::command_line().to_str().unwrap());
    command.args(arguments).args(["-n", "models"]);
    command.envs(environment.iter().cloned());
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// Prints how long the commands take, past the test harness. That is not asserted.
fn measure(node: &ChartNode) {
    for arguments in [&["explain", "torchserve"][..], &["doctor"]] {
        let times = [(); 5].map(|()| {
            let began = Instant::now();
            pushscale(node, arguments);
            began.elapsed().as_secs_f64()
        });
        let [least, most] =
            [f64::min, f64::max].map(|choose| times.into_iter().reduce(choose).unwrap());
        let name = arguments[0];
        writeln!(
            io::stderr(),
            "pushscale {name} took {least:.2} to {most:.2} s in five runs"
        )
        .ok();
    }
}
