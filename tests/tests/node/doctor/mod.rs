//! `pushscale doctor` names what is broken on a real node: one Deployment of the chart, broken in one way after the
//! other. Checks that need no kubelet are also in tests/tests/cluster.

mod cases;
mod objects;

use std::io::{self, Write as _};
use std::process::Output;
use std::time::Instant;

use pushscale_tests::clock;
use pushscale_tests::document::{Document, Reader};
use pushscale_tests::fleet::{TIMEOUT, pause};
use pushscale_tests::keda::Release;
use pushscale_tests::load::LoadGenerator;
use pushscale_tests::programs;
use pushscale_tests::torchserve_values::{batching_values, torchserve_values};
use serde_json::json;

use self::cases::{CASES, Case, LEASE};
use crate::chart_node::ChartNode;

/// A user who may only read PushScalers.
const READER: &str = "
    kubectl -n models create serviceaccount reader
    kubectl -n models create role pushscalers --verb=get,list --resource=pushscalers.pushscale.dev
    kubectl -n models create rolebinding pushscalers --role=pushscalers --serviceaccount=models:reader
    kubectl config view --raw --flatten >reader.kubeconfig
    token=$(kubectl -n models create token reader)
    kubectl --kubeconfig=reader.kubeconfig config set-credentials reader --token=$token
    kubectl --kubeconfig=reader.kubeconfig config set-context --current --user=reader";

/// The same user with the documented permissions.
const DOCUMENTED: &str = "
    kubectl apply -f role.yaml
    kubectl create clusterrolebinding doctor --clusterrole=doctor --serviceaccount=models:reader
    for namespace in models pushscale; do
        kubectl -n $namespace create rolebinding doctor --role=doctor --serviceaccount=models:reader
    done";

#[test]
fn doctor_names_what_is_broken() {
    let Some(keda) = Release::for_test() else {
        return;
    };
    let values = json!({ "injector": { "enabled": true }, "externalMetrics": { "enabled": true } });
    let Some(node) = ChartNode::start(&values) else {
        return;
    };
    keda.define(&node.cluster);
    let mut reader = node.reader("doctor");
    let mut values = torchserve_values(&node.torchserve);
    let mut batching = batching_values(&node.torchserve);
    for values in [&mut values, &mut batching] {
        values["resources"] = json!({ "requests": { "cpu": "10m", "memory": "64Mi" } });
    }
    for (name, text) in objects::FILES {
        reader.write(name, text);
    }
    reader.write("my-values.yaml", &values.to_string());
    reader.write("batching.yaml", &batching.to_string());
    reader.run("kubectl create namespace models");
    reader.run("kubectl label namespace models pushscale.dev/inject=enabled");
    reader.run(
        "helm install torchserve helm/torchserve --namespace models --values my-values.yaml --wait",
    );
    let page = Document::read("INSTALL.md");
    let scaler = page
        .section("Labelling the namespace")
        .file("pushscaler.yaml");
    // More than one pod can serve, for the last case. And Helm would not roll back a Deployment that was scaled.
    assert!(scaler.contains("maxReplicas: 5"), "{scaler}");
    let scaler = scaler.replace("maxReplicas: 5", "maxReplicas: 1");
    reader.write("pushscaler.yaml", &scaler);
    reader.run("kubectl -n models apply -f pushscaler.yaml");
    // Without requests, the conditions report a problem until the service time is known.
    let path = "-o=jsonpath={.spec.clusterIP}:8080";
    let service = ["-n", "models", "get", "service", "torchserve", path];
    let address = node.cluster.kubectl(&service).unwrap();
    let _load = LoadGenerator::start(&node.cluster, "doctor", &address, &["1:3600"]);
    until_found(&node, &[" 0 failed"]);
    measure(&node);
    // The clock of this machine is ten minutes behind the node's, and then ahead of it.
    for (seconds, problem) in [(-600, "ahead of"), (600, "behind")] {
        let shifted = clock::shifted(&node.cluster, seconds);
        let problem = format!(" s {problem} this machine's");
        until_found_with(
            &node,
            &[],
            &shifted,
            &["FAIL   clock", &problem, " 1 failed"],
        );
    }
    check_permissions(&node, &mut reader);
    for case in CASES {
        find(&node, &mut reader, case);
        reader.run(case.repairs);
        until_found(&node, &[" 0 failed"]);
    }
    let overload = LoadGenerator::start(&node.cluster, "overload", &address, &["40:3600"]);
    until_found(&node, &["ScalingLimited=True, TooManyReplicas"]);
    drop(overload);
    for case in LEASE {
        find(&node, &mut reader, case);
    }
}

/// A check that may not read something is skipped, and the documented permissions are enough for all of them.
fn check_permissions(node: &ChartNode, reader: &mut Reader) {
    reader.run(READER);
    let kubeconfig = reader.directory.join("reader.kubeconfig");
    let by = [("KUBECONFIG", kubeconfig.display().to_string())];
    let skipped = [
        "its pods could not be read: forbidden",
        "scale of Deployment/torchserve could not be read: forbidden",
        "HorizontalPodAutoscaler could not be read: forbidden",
        "ScaledObject could not be read: forbidden",
        "Pod could not be read: forbidden",
        "APIService could not be read: forbidden",
        "13 checks, 0 failed, 12 skipped",
    ];
    until_found_with(node, &[], &by, &skipped);
    reader.run(DOCUMENTED);
    let namespace = ["--pushscale-namespace=pushscale"];
    until_found_with(node, &namespace, &by, &[" 0 failed, 0 skipped"]);
}

fn find(node: &ChartNode, reader: &mut Reader, case: &Case) {
    reader.run(case.breaks);
    until_found(node, case.finds);
}

fn until_found(node: &ChartNode, expected: &[&str]) {
    until_found_with(node, &[], &[], expected);
}

/// The same for a `doctor` with these options, and these variables in its environment.
fn until_found_with(
    node: &ChartNode,
    options: &[&str],
    environment: &[(&str, String)],
    expected: &[&str],
) {
    let start = Instant::now();
    loop {
        let polled = Instant::now();
        let output = run(node, &[&["doctor"], options].concat(), environment);
        let found = String::from_utf8_lossy(&output.stdout);
        if expected.iter().all(|part| found.contains(part)) {
            let code = i32::from(found.contains("FAIL"));
            assert_eq!(output.status.code(), Some(code), "{found}");
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "{expected:?} is not in\n{found}");
        pause(polled.elapsed());
    }
}

/// Runs a command with these variables in its environment.
fn run(node: &ChartNode, arguments: &[&str], environment: &[(&str, String)]) -> Output {
    let mut command = node
        .cluster
        .command(programs::command_line().to_str().unwrap());
    command.args(arguments).args(["-n", "models"]);
    command.envs(environment.iter().cloned());
    command.output().unwrap()
}

/// Prints how long the commands take, past the test harness. That is not asserted.
fn measure(node: &ChartNode) {
    for arguments in [&["explain", "torchserve"][..], &["doctor"]] {
        let times = [(); 5].map(|()| {
            let start = Instant::now();
            run(node, arguments, &[]);
            start.elapsed().as_secs_f64()
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
