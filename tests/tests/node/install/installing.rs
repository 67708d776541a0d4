//! Follows docs/INSTALL.md.

use std::fs;
use std::time::Instant;

use pushscale_tests::all_objects::objects_of;
use pushscale_tests::charts::Helm;
use pushscale_tests::document::{Document, Reader};
use pushscale_tests::fleet::{TIMEOUT, until};
use pushscale_tests::load::LoadGenerator;
use pushscale_tests::port_forward::PortForward;
use pushscale_tests::programs;
use pushscale_tests::test_cluster::TestCluster;
use serde_json::Value;

use super::fixture::{Fixture, assert_injected, kubectl, start_load, until_replicas};

#[test]
fn every_command_of_the_page_works_and_the_replicas_follow_a_load_without_lost_requests() {
    let Some(Fixture {
        cluster,
        mut reader,
        guards: _guards,
    }) = Fixture::start("installing")
    else {
        return;
    };
    let page = Document::read("INSTALL.md");
    let before = objects_of(&cluster);
    reader.follow(page.section("Pushscale"), |_| {});

    // The last block uninstalls the chart. Before that, the load runs.
    reader.follow(page.section("Labelling the namespace"), |block| {
        if block == 3 {
            watches(&cluster);
            forwards_ports(&cluster);
            replays_decisions(&cluster);
            operates(&cluster);
            follows_a_load(&cluster);
        }
    });
    reader.follow(page.section("Using the chart"), |block| {
        if block == 1 {
            assert_injected(&cluster);
        }
    });
    // A Deployment from a user's repository: the rendered chart, without Helm.
    let manifest = reader
        .run("helm template torchserve helm/torchserve --namespace models --values my-values.yaml");
    reader.write("deployment.yaml", &manifest);
    reader.follow(page.section("Changing your manifests"), |block| {
        if block == 1 {
            assert_injected(&cluster);
        }
    });
    reader.follow(page.section("Upgrading and uninstalling"), |_| {});
    // With the rendering above.
    assert_eq!(
        reader.blocks_run(),
        page.commands() + 1,
        "every block was run"
    );
    // The dependents of the CRD and of the ClusterRole are deleted a moment later.
    until(TIMEOUT, "as before", || objects_of(&cluster) == before);
}

/// Runs the commands of README.md that add the sidecar and show the state of a PushScaler, but for the forwarded port.
fn watches(cluster: &TestCluster) {
    let program = programs::command_line();
    let mut reader = Reader::new(cluster, "readme", &[program.parent().unwrap()]);
    // The page names no namespace: it is that of the user's context.
    reader.run(
        "kubectl config view --raw >kubeconfig\n\
         kubectl --kubeconfig kubeconfig config set-context --current --namespace models",
    );
    let page = fs::read_to_string(programs::repository().join("README.md")).unwrap();
    let inject = page.lines().map(str::trim);
    let mut inject = inject.filter(|line| line.starts_with("kubectl label namespace NAMESPACE "));
    let inject = inject.next().unwrap().replace("NAMESPACE", "models");
    reader.run(&format!(
        "{inject}\nkubectl -n models rollout status deployment/torchserve --timeout=300s"
    ));
    let (_, step) = page.split_once("4. Watch it:").unwrap();
    let (step, _) = step.split_once("![").unwrap();
    let is_command = |line: &&str| line.starts_with("kubectl ") || line.starts_with("pushscale ");
    let commands = step.lines().map(str::trim).filter(is_command);
    let mut run = 0;
    for command in commands.filter(|command| !command.contains(" port-forward ")) {
        let (command, _comment) = command.split_once('#').unwrap_or((command, ""));
        // The pods have no requests for CPU and memory, which is a problem.
        let problem = if command.trim() == "pushscale doctor" {
            "|| test $? = 1"
        } else {
            ""
        };
        let shown = reader.run(&format!(
            "export KUBECONFIG=kubeconfig\n{command} {problem}"
        ));
        assert!(shown.contains("torchserve"), "{command}: {shown}");
        run += 1;
    }
    assert_eq!(run, 5, "{step}");
}

/// Follows README.md, docs/STATUS-PAGE.md and the notes of both charts to what they show through a forwarded port.
fn forwards_ports(cluster: &TestCluster) {
    let read = |name: &str| fs::read_to_string(programs::repository().join(name)).unwrap();
    let helm = Helm::for_test().unwrap();
    let notes = |release: &str, namespace: &str| {
        let notes = ["get", "notes", release, "--namespace", namespace];
        helm.on(cluster, &notes, None).unwrap()
    };
    for text in [
        read("README.md"),
        read("docs/STATUS-PAGE.md"),
        notes("pushscale", "pushscale"),
    ] {
        let forward = PortForward::start(cluster, &text);
        let page = forward.get("/");
        assert_eq!(page.status, 200, "{page:?}");
        let link = "scalers/models/torchserve";
        assert!(page.body.contains(&format!("href=\"{link}\"")), "{page:?}");
        let scaler = forward.get(&format!("/{link}"));
        assert_eq!(scaler.status, 200, "{scaler:?}");
        let scalers = forward.get("/debug/scalers").body;
        let scalers: Value = serde_json::from_str(&scalers).unwrap();
        assert!(scalers.to_string().contains("torchserve"), "{scalers:#}");
    }
    let forward = PortForward::start(cluster, &notes("torchserve", "models"));
    let address = forward.address().to_string();
    let load = LoadGenerator::start(cluster, "forwarded", &address, &["2:2"]);
    let report = load.finish();
    assert!(report.sent > 0, "{report:?}");
    assert_eq!(report.count_lost(), 0, "{report:?}");
}

/// Follows docs/ALGORITHM.md from the decisions of the aggregator to their steps.
fn replays_decisions(cluster: &TestCluster) {
    let page = Document::text("ALGORITHM.md");
    let (_, section) = page.split_once("## Asking for the reason").unwrap();
    let _forward = PortForward::start(cluster, section);
    let program = programs::command_line();
    let mut reader = Reader::new(cluster, "algorithm", &[program.parent().unwrap()]);
    let find = |start: &str| {
        let lines = section.lines().map(str::trim);
        lines.into_iter().find(|line| line.starts_with(start))
    };
    reader.run(find("curl ").unwrap());
    let steps = reader.run(find("pushscale replay ").unwrap());
    assert!(steps.contains("current: "), "{steps}");
}

/// Runs the commands of docs/RUNBOOK.md and docs/SECURITY.md that change nothing in a healthy installation.
fn operates(cluster: &TestCluster) {
    let mut reader = Reader::new(cluster, "operating", &[]);
    let pod =
        "kubectl -n pushscale get pods -l app.kubernetes.io/name=pushscale-aggregator -o name";
    let pod = reader.run(&format!("{pod} | head -n 1"));
    let (_, pod) = pod.trim().split_once('/').unwrap();
    let commands = inline_commands(&Document::text("RUNBOOK.md"), "kubectl -n ");
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let command = command
            .replace("NAMESPACE", "pushscale")
            .replace("MODELS", "models")
            .replace("NAME", "torchserve")
            .replace("POD", pod);
        // Nothing has failed, so `grep` finds nothing. In a pipe, a failure of kubectl would not be noticed.
        let command = match command.split_once(" | grep ") {
            Some((logs, message)) => format!("{logs} >log\ngrep {message} log || test $? = 1"),
            None => command,
        };
        reader.run(&command);
    }
    for page in ["ALGORITHM-DETAILS.md", "REFERENCE.md"] {
        let commands = inline_commands(&Document::text(page), "kubectl explain ");
        assert!(!commands.is_empty(), "{page}");
        for command in commands {
            let fields = reader.run(&command);
            assert!(fields.contains("maxReplicas"), "{fields}");
        }
    }
    let page = Document::text("SECURITY.md");
    let label = inline_commands(&page, "kubectl label ");
    let dates = inline_commands(&page, "kubectl -n pushscale get secret ");
    assert_eq!([label.len(), dates.len()], [1, 1], "{label:?}, {dates:?}");
    let warnings = reader.run(&format!("{} 2>&1", label[0]));
    assert!(!warnings.contains("violate"), "{warnings}");
    // In a table, Markdown escapes the bar.
    let dates = reader.run(&dates[0].replace("\\|", "|"));
    assert!(dates.contains("notAfter="), "{dates}");
}

/// Returns the inline code of a page that starts like this.
fn inline_commands(page: &str, start: &str) -> Vec<String> {
    let code = page.split('`').skip(1).step_by(2);
    let commands = code.filter(|code| code.starts_with(start));
    commands.map(str::to_owned).collect()
}

/// Scales up in an overload, down by one pod after it, and down to one pod by a lower `maxReplicas`, without a lost
/// request.
///
/// The scale-down policy allows one pod in half an hour, so that the lower `maxReplicas` always has pods to remove.
/// Without a window in the spec the controller chooses the hold itself, up to five minutes.
fn follows_a_load(cluster: &TestCluster) {
    assert_injected(cluster);
    let behavior = r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":15,"policies":[{"type":"Pods","value":1,"periodSeconds":1800}]}}}}"#;
    let patch = ["patch", "pushscaler/torchserve", "--type=merge", "--patch"];
    kubectl(cluster, &[&patch[..], &[behavior]].concat());
    let overload = start_load(cluster, &["2:10", "25:3600"]);
    let started_at = Instant::now();
    // 25 requests/s keep 2.6 workers busy: at 50 ms, half utilisation, they take five.
    until_replicas(cluster, "scaled up to 5", |replicas| replicas == 5);
    let up = started_at.elapsed();
    let overload = overload.stop();
    let load = start_load(cluster, &["5:3600"]);
    let mut most = 0;
    until_replicas(cluster, "scaled down", |replicas| {
        most = most.max(replicas);
        replicas < most
    });
    let down = started_at.elapsed();
    let max = r#"{"spec":{"maxReplicas":1}}"#;
    kubectl(cluster, &[&patch[..], &[max]].concat());
    until_replicas(cluster, "at the new maximum", |replicas| replicas == 1);
    until(TIMEOUT, "drained", || {
        kubectl(cluster, &["get", "pods", "-o=name"])
            .lines()
            .count()
            == 1
    });
    let loaded = load.stop();
    println!("scaled up to {most} after {up:.1?}, down after {down:.1?}; {overload:?}, {loaded:?}");
    assert_eq!(
        overload.count_lost() + loaded.count_lost(),
        0,
        "{overload:?}, {loaded:?}"
    );
    assert_injected(cluster);
    let scaler = kubectl(cluster, &["get", "pushscaler/torchserve", "-o=json"]);
    let scaler: Value = serde_json::from_str(&scaler).unwrap();
    let pods = &scaler["status"]["pods"];
    assert!(
        pods["fresh"].as_u64().is_some_and(|fresh| fresh > 0),
        "{scaler:#}"
    );
}
