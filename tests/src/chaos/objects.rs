//! The objects of the cluster that faults change.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::namespace::{Namespace, TIMEOUT};

/// The spec of the PushScaler, without its target.
const SPEC: &str = "  algorithm: Ratio\n  maxReplicas: 6\n  \
                    metrics: [ { type: QueueLatency, queueLatency: { target: 1s } } ]\n  \
                    behavior: { scaleDown: { stabilizationWindowSeconds: 3 } }\n";

/// Replicas of the Deployment `other`, which no PushScaler may change: none of its pods push.
const OTHER_REPLICAS: u32 = 3;

/// How many HPAs of other targets there are, and how often each of them changes.
const HPAS: usize = 2000;
const HPA_PERIOD: Duration = Duration::from_secs(15);

/// Requests in flight that change them.
const HPA_REQUESTS: usize = 16;

const ROLE: &str = "pushscale-aggregator";

/// The Deployments, the PushScaler, and what decides about them.
pub(super) struct Objects<'a> {
    pub(super) namespace: Namespace<'a>,
    pub(super) client: Client,
}

impl<'a> Objects<'a> {
    /// Creates the Deployment `torchserve` with this number of pods, a PushScaler for it, and the Deployment `other`.
    pub(super) async fn create(namespace: Namespace<'a>, client: Client, replicas: u32) -> Self {
        namespace.scaled_deployment(replicas, SPEC).await;
        let other = OTHER.replace("REPLICAS", &OTHER_REPLICAS.to_string());
        namespace.apply(&other);
        Self { namespace, client }
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.namespace.cluster.kubectl(arguments).unwrap()
    }

    pub(super) fn delete_lease(&self) {
        self.kubectl(&["-n", "pushscale", "delete", "lease", ROLE]);
    }

    /// Returns `renewTime` of the Lease.
    pub(super) fn renewed(&self) -> String {
        let path = "jsonpath={.spec.renewTime}";
        self.kubectl(&["-n", "pushscale", "get", "lease", ROLE, "-o", path])
    }

    pub(super) fn deny_scale(&self) {
        self.namespace.apply(DENIAL);
    }

    pub(super) fn allow_scale(&self) {
        for kind in [
            "validatingadmissionpolicybinding",
            "validatingadmissionpolicy",
        ] {
            self.kubectl(&["delete", kind, "chaos"]);
        }
    }

    /// Takes the aggregators' permission to read scales, changes the target so that they read its scale, and waits
    /// until the status reports the failure.
    pub(super) async fn deny_reads(&self) {
        self.permit_scales(&json!(["patch"]));
        let annotate = ["annotate", "deployment", "torchserve", "chaos=1"];
        self.namespace.kubectl(&annotate);
        let failed = "False/FailedGetScale";
        let until = self
            .namespace
            .until_condition("torchserve", "AbleToScale", failed);
        until.await;
        self.namespace
            .kubectl(&["annotate", "deployment", "torchserve", "chaos-"]);
    }

    pub(super) fn permit_reads(&self) {
        self.permit_scales(&json!(["get", "patch"]));
    }

    fn permit_scales(&self, verbs: &Value) {
        let role = self.kubectl(&["get", "clusterrole", ROLE, "-o", "json"]);
        let role: Value = serde_json::from_str(&role).unwrap();
        let rules = role["rules"].as_array().unwrap();
        let is_scales = |rule: &Value| rule["resources"][0] == "deployments/scale";
        let index = rules.iter().position(is_scales).unwrap();
        let path = format!("/rules/{index}/verbs");
        let patch = json!([{ "op": "replace", "path": path, "value": verbs }]).to_string();
        self.kubectl(&["patch", "clusterrole", ROLE, "--type=json", "-p", &patch]);
    }

    pub(super) fn invalidate_spec(&self) {
        let zone = r#"{"schedules":[{"name":"day","cron":"0 8 * * *","duration":"1h","timezone":"Mars/Olympus","minReplicas":1}]}"#;
        self.namespace.patch("torchserve", zone);
    }

    pub(super) fn fix_spec(&self) {
        self.namespace.patch("torchserve", r#"{"schedules":null}"#);
    }

    pub(super) fn recreate(&self) {
        self.namespace
            .kubectl(&["delete", "pushscaler", "torchserve"]);
        self.namespace
            .scale("torchserve", "apps/v1", "Deployment", "torchserve", SPEC);
    }

    /// Makes the PushScaler scale the Deployment of this name.
    pub(super) fn retarget(&self, deployment: &str) {
        let target = json!({ "scaleTargetRef": { "name": deployment } });
        self.namespace.patch("torchserve", &target.to_string());
    }

    /// Panics if the Deployment `other` was scaled.
    pub(super) fn assert_other_is_unchanged(&self) {
        let other = self.namespace.get("deployment", "other");
        assert_eq!(other["spec"]["replicas"], OTHER_REPLICAS, "{other:#}");
    }

    /// Restarts the API server, and waits until it responds.
    pub(super) async fn restart_api_server(&self) {
        let cluster = self.namespace.cluster;
        cluster.restart("kube-apiserver").unwrap();
        let start = Instant::now();
        while cluster.kubectl(&["get", "--raw", "/readyz"]).is_err() {
            assert!(start.elapsed() < TIMEOUT, "the API server does not return");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates HPAs of targets that do not exist, and changes them until the returned tasks end.
    pub(super) async fn change_hpas(&self) -> JoinSet<()> {
        let hpas = self.hpas();
        each(|number| {
            let hpas = hpas.clone();
            async move {
                let hpa = serde_json::from_value(hpa(number)).unwrap();
                hpas.create(&PostParams::default(), &hpa).await.unwrap();
            }
        })
        .await;
        let mut changes = JoinSet::new();
        changes.spawn(change_hpas(hpas));
        changes
    }

    pub(super) async fn delete_hpas(&self, mut changes: JoinSet<()>) {
        assert!(changes.try_join_next().is_none(), "the HPAs did not change");
        changes.shutdown().await;
        let (delete, all) = (DeleteParams::default(), ListParams::default());
        let hpas = self.hpas();
        let deleted = hpas.delete_collection(&delete, &all);
        timeout(TIMEOUT, deleted).await.unwrap().unwrap();
    }

    fn hpas(&self) -> Api<HorizontalPodAutoscaler> {
        Api::namespaced(self.client.clone(), &self.namespace.name)
    }
}

/// Changes each HPA once in a period.
async fn change_hpas(hpas: Api<HorizontalPodAutoscaler>) {
    let mut periods = tokio::time::interval(HPA_PERIOD);
    for max in 2.. {
        periods.tick().await;
        each(|number| {
            let hpas = hpas.clone();
            async move {
                let patch = json!({ "spec": { "maxReplicas": max } });
                let (name, params) = (hpa_name(number), PatchParams::default());
                hpas.patch(&name, &params, &Patch::Merge(patch))
                    .await
                    .unwrap();
            }
        })
        .await;
    }
}

/// Does something for each HPA.
async fn each<F: Future<Output = ()>>(change: impl Fn(usize) -> F) {
    let changes = futures_util::stream::iter((0..HPAS).map(change));
    changes.buffer_unordered(HPA_REQUESTS).collect::<()>().await;
}

fn hpa_name(number: usize) -> String {
    format!("foreign-{number}")
}

fn hpa(number: usize) -> Value {
    let name = hpa_name(number);
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": name });
    json!({ "metadata": { "name": name }, "spec": { "maxReplicas": 1, "scaleTargetRef": target } })
}

const OTHER: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: other, namespace: NAMESPACE }
spec:
  replicas: REPLICAS
  selector: { matchLabels: { app: other } }
  template:
    metadata: { labels: { app: other } }
    spec: { containers: [ { name: other, image: none } ] }
";

/// Rejects every change of a scale in the namespace.
const DENIAL: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: chaos }
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - { apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments/scale] }
  validations:
  - { expression: "false", message: "no change of the replicas today" }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: chaos }
spec:
  policyName: chaos
  validationActions: [Deny]
"#;
