//! Targets: everything with a scale subresource, targets without one, and missing ones.

use pushscale_aggregator::{KubeScaleTarget, ScaleTarget as _, TargetRef, Written};
use pushscale_tests::document::{Document, Reader};
use pushscale_tests::fake_pod::Load;
use pushscale_tests::namespace::{Aggregator, Namespace};

use crate::cluster;

#[tokio::test]
async fn a_stateful_set_is_scaled() {
    let namespace = Namespace::create(cluster(), "stateful");
    namespace.deploy("StatefulSet", 1).await;
    namespace.scale("torchserve", "apps/v1", "StatefulSet", "torchserve", "");
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.get("statefulset", "torchserve")["spec"]["replicas"] == 5
        })
        .await;
}

#[tokio::test]
async fn a_custom_resource_with_a_scale_subresource_is_scaled() {
    let namespace = Namespace::create(cluster(), "custom");
    // Its replicas and its selector are in unusual fields. The role is what a user adds for such a kind.
    namespace.apply(include_str!("custom-kind.yaml"));
    namespace.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/modelfleets.example.dev",
        "--timeout=30s",
    ]);
    namespace.apply(
        "apiVersion: example.dev/v1\nkind: ModelFleet\nmetadata: { name: fleet, namespace: NAMESPACE }\n\
         spec: { size: { pods: 1 } }\n",
    );
    namespace.apply(
        "apiVersion: v1\nkind: Pod\n\
         metadata: { name: fleet-0, namespace: NAMESPACE, labels: { app: torchserve } }\n\
         spec: { containers: [ { name: torchserve, image: none } ] }\n",
    );
    namespace.scale("fleet", "example.dev/v1", "ModelFleet", "fleet", "");
    let aggregator = Aggregator::start(&namespace).await;
    let mut pods = namespace.run_pods(1).await;
    // Its operator has not set the selector yet.
    namespace
        .until_condition("fleet", "ScalingActive", "False/InvalidSelector")
        .await;
    namespace.kubectl(&[
        "patch",
        "modelfleet",
        "fleet",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"pods":1,"selector":"app=torchserve"}}"#,
    ]);
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.get("modelfleet", "fleet")["spec"]["size"]["pods"] == 5
        })
        .await;
}

#[tokio::test]
async fn a_missing_target_is_reported_and_scaled_once_it_exists() {
    let namespace = Namespace::create(cluster(), "absent");
    namespace.scale_deployment("");
    namespace.scale("kindless", "apps/v1", "Deploymint", "torchserve", "");
    namespace.scale("scaleless", "v1", "ConfigMap", "kube-root-ca.crt", "");
    let aggregator = Aggregator::start(&namespace).await;
    for name in ["torchserve", "kindless", "scaleless"] {
        namespace
            .until_condition(name, "AbleToScale", "False/FailedGetScale")
            .await;
    }
    let message = |name: &str| {
        let scaler = namespace.get("pushscaler", name);
        let conditions = scaler["status"]["conditions"].as_array().unwrap().clone();
        let able = conditions
            .iter()
            .find(|found| found["type"] == "AbleToScale");
        able.unwrap()["message"].as_str().unwrap().to_owned()
    };
    assert!(
        message("torchserve").contains("Deployment/torchserve in namespace absent does not exist"),
        "{}",
        message("torchserve")
    );
    assert!(
        message("kindless").contains("unknown kind Deploymint in apps/v1"),
        "{}",
        message("kindless")
    );
    assert!(
        message("scaleless").contains("ConfigMap/kube-root-ca.crt"),
        "{}",
        message("scaleless")
    );
    let events = namespace.kubectl(&["get", "events"]);
    assert!(events.contains("FailedGetScale"), "{events}");

    namespace.deploy("Deployment", 1).await;
    let mut pods = namespace.run_pods(1).await;
    aggregator
        .push_until(&mut pods, Load::Rate(25.0), || async {
            namespace.get("deployment", "torchserve")["spec"]["replicas"] == 5
        })
        .await;
}

#[tokio::test]
async fn a_write_does_not_override_a_concurrent_change() {
    let namespace = Namespace::create(cluster(), "conflict");
    namespace.deploy("Deployment", 2).await;
    let scales = scales().await;
    let target = TargetRef::deployment("conflict", "torchserve");
    match scales.write(&target, None, 1, 4).await {
        Ok(Written::Conflict(scale)) => assert_eq!(scale.replicas, 2),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        namespace.get("deployment", "torchserve")["spec"]["replicas"],
        2
    );
    match scales.write(&target, None, 2, 4).await {
        Ok(Written::Done(scale)) => assert_eq!(scale.replicas, 4),
        other => panic!("{other:?}"),
    }
    let deployment = namespace.get("deployment", "torchserve");
    assert_eq!(deployment["spec"]["replicas"], 4);
    // The managed fields show who set the replicas.
    let managers = namespace.kubectl(&[
        "get",
        "deployment",
        "torchserve",
        "-o",
        "yaml",
        "--show-managed-fields",
    ]);
    assert!(managers.contains("pushscale-aggregator"), "{managers}");
}

#[tokio::test]
async fn a_target_that_was_created_again_is_not_scaled_by_an_earlier_decision() {
    let namespace = Namespace::create(cluster(), "created-again");
    let scales = scales().await;
    for kind in ["Deployment", "StatefulSet"] {
        let target = TargetRef {
            kind: kind.to_owned(),
            ..TargetRef::deployment("created-again", "torchserve")
        };
        namespace.deploy(kind, 2).await;
        let former = scales.read(&target).await.unwrap().uid.unwrap();
        namespace.kubectl(&["delete", kind, "torchserve"]);
        namespace.deploy(kind, 2).await;
        // The replicas are those of the decision, or already those that it wanted.
        for (from, to) in [(2, 4), (4, 2)] {
            match scales.write(&target, Some(&former), from, to).await {
                Ok(Written::Conflict(scale)) => {
                    assert_ne!(scale.uid, Some(former.clone()));
                    assert_eq!(scale.replicas, 2);
                }
                other => panic!("{other:?}"),
            }
        }
        let now = scales.read(&target).await.unwrap().uid.unwrap();
        match scales.write(&target, Some(&now), 2, 4).await {
            Ok(Written::Done(scale)) => assert_eq!(scale.replicas, 4),
            other => panic!("{other:?}"),
        }
        namespace.kubectl(&["delete", kind, "torchserve"]);
    }
}

async fn scales() -> KubeScaleTarget {
    let kubeconfig = kube::config::Kubeconfig::read_from(cluster().kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    KubeScaleTarget::new(kube::Client::try_from(config).unwrap())
}

/// docs/INSTALL.md describes how to remove `replicas` from a manifest that server-side apply has applied.
#[tokio::test]
async fn the_documented_apply_keeps_the_replicas_of_a_manifest_without_them() {
    let namespace = Namespace::create(cluster(), "without-replicas");
    let mut reader = Reader::new(namespace.cluster, "without-replicas", &[]);
    let manifest = |replicas: &str| {
        format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"torchserve"}},"spec":{{{replicas}"selector":{{"matchLabels":{{"app":"torchserve"}}}},"template":{{"metadata":{{"labels":{{"app":"torchserve"}}}},"spec":{{"containers":[{{"name":"torchserve","image":"example.com/torchserve:1"}}]}}}}}}}}"#
        )
    };
    let name = &namespace.name;
    let apply = |replicas: &str| {
        let manifest = manifest(replicas);
        format!("echo '{manifest}' | kubectl --namespace {name} apply --server-side -f -")
    };
    reader.run(&apply(r#""replicas":3,"#));
    let page = Document::text("INSTALL.md");
    let mut code = page.split('`').skip(1).step_by(2);
    let documented = code.find(|code| code.starts_with("echo ")).unwrap();
    let documented = documented
        .replace(r#""NAME""#, r#""torchserve""#)
        .replace(r#""replicas":N"#, r#""replicas":3"#)
        .replace("kubectl ", &format!("kubectl --namespace {name} "));
    reader.run(&documented);
    reader.run(&apply(""));
    assert_eq!(namespace.replicas(), 3);
}
