//! Ways to break a healthy installation, and what `pushscale doctor` reports about them.

/// A way to break the installation or the Deployment.
pub(super) struct Case {
    /// The commands that break it.
    pub(super) breaks: &'static str,
    /// Parts of the output.
    pub(super) finds: &'static [&'static str],
    /// The commands that repair it.
    pub(super) repairs: &'static str,
}

pub(super) const CASES: &[Case] = &[
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
    // Only the CRD of KEDA is installed.
    Case {
        breaks: "kubectl -n models apply -f scaled-object.yaml",
        finds: &["KEDA's ScaledObject other also scales Deployment/torchserve"],
        repairs: "kubectl -n models delete -f scaled-object.yaml",
    },
    Case {
        breaks: "kubectl -n models apply -f targets.yaml",
        finds: &[
            "Deployment/none does not exist in namespace models",
            "ConfigMap/kube-root-ca.crt has no scale subresource",
            "the API server does not know example.com/v1 Widget",
            "the kind unavailable.example.com/v1 Widget could not be read: ",
            "→ kubectl get apiservices names APIs that are not available",
            "scale of Deployment/without-pods: replicas 1, pods 0",
            "the target's selector selects no pods",
        ],
        repairs: "kubectl -n models delete -f targets.yaml",
    },
    // The injector does not recognize TorchServe, whose configuration would be in the image.
    Case {
        breaks: "kubectl -n models apply -f image.yaml",
        finds: &[
            "models/image: 1 of 1 pods: image-",
            "no sidecar: ",
            "models/image: no ConfigMap of the pods has config.properties",
            "container server has no request for cpu and memory",
        ],
        repairs: "kubectl -n models delete -f image.yaml",
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
        breaks: "kubectl -n models apply -f ranges.yaml",
        finds: &["ok     network-policy     models/torchserve: egress of the pods, ranges"],
        repairs: "kubectl -n models delete -f ranges.yaml",
    },
    Case {
        breaks: "kubectl -n pushscale scale deployment/pushscale-certificates --replicas=0
                 kubectl -n pushscale wait --for=delete pod -l app.kubernetes.io/name=pushscale-certificates --timeout=280s
                 kubectl -n models patch configmap pushscale-ca --type=merge -p '{\"data\":null}'",
        finds: &["ConfigMap models/pushscale-ca has no ca.crt"],
        repairs: "kubectl -n pushscale scale deployment/pushscale-certificates --replicas=1",
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
                 kubectl -n models patch pushscaler torchserve --type=merge \
                 -p \"{\\\"spec\\\":{\\\"minReplicas\\\":$((pods + 1)),\\\"maxReplicas\\\":5}}\"",
        finds: &["pods are not created: ", "exceeded quota: small", "pods is used up ("],
        repairs: "kubectl -n models delete quota small
                  kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"minReplicas\":1,\"maxReplicas\":1}}'
                  kubectl -n models scale deployment/torchserve --replicas=1",
    },
    Case {
        breaks: "kubectl label namespace models pod-security.kubernetes.io/enforce=restricted
                 kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"minReplicas\":2,\"maxReplicas\":2}}'",
        finds: &[
            "pods are not created: ",
            "violates PodSecurity",
            "→ correct what the message names",
        ],
        repairs: "kubectl label namespace models pod-security.kubernetes.io/enforce-
                  kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"minReplicas\":1,\"maxReplicas\":1}}'
                  kubectl -n models scale deployment/torchserve --replicas=1",
    },
    Case {
        breaks: "kubectl -n models set resources deployment/torchserve --requests=cpu=1000",
        finds: &["it is not scheduled: 0/1 nodes are available"],
        repairs: "kubectl -n models rollout undo deployment/torchserve",
    },
    Case {
        breaks: "kubectl -n models patch deployment torchserve --type=json \
                 -p '[{\"op\":\"remove\",\"path\":\"/spec/template/spec/containers/0/resources/requests/cpu\"}]'",
        finds: &["container torchserve has no request for cpu\n"],
        repairs: "kubectl -n models rollout undo deployment/torchserve",
    },
    Case {
        breaks: "kubectl label namespace models pushscale.dev/inject-
                 kubectl -n models rollout restart deployment/torchserve",
        finds: &[
            "no sidecar: the pods cannot report",
            "kubectl label namespace models pushscale.dev/inject=enabled",
        ],
        repairs: "kubectl label namespace models pushscale.dev/inject=enabled
                  kubectl -n models rollout undo deployment/torchserve",
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
    // Helm would not overwrite what kubectl has changed, so these come after its upgrades.
    Case {
        breaks: "kubectl -n models get configmap torchserve -o=json | sed 's/metrics_mode=prometheus\\\\n//' \
                 | kubectl -n models replace -f -",
        finds: &["no metrics_mode, which is log by default"],
        repairs: "kubectl -n models get configmap torchserve -o=json | sed 's/metrics_address/metrics_mode=prometheus\\\\n&/' \
                  | kubectl -n models replace -f -",
    },
    Case {
        breaks: "kubectl -n pushscale get deployment pushscale-aggregator -o=jsonpath='{.spec.replicas}' >replicas
                 kubectl -n pushscale scale deployment/pushscale-aggregator --replicas=0
                 kubectl -n pushscale wait --for=delete pod -l app.kubernetes.io/name=pushscale-aggregator --timeout=280s
                 sed 's/name: torchserve$/name: unseen/' pushscaler.yaml | kubectl -n models apply -f -",
        finds: &[
            "no pod has the labels of the aggregator",
            "models/unseen: status",
            "the aggregator has reported nothing",
        ],
        repairs: "kubectl -n models delete pushscaler unseen
                  kubectl -n pushscale scale deployment/pushscale-aggregator --replicas=$(cat replicas)",
    },
    Case {
        breaks: "kubectl -n pushscale get networkpolicy pushscale-aggregator -o=jsonpath='{.spec.ingress}' >ingress.json
                 kubectl -n pushscale patch networkpolicy pushscale-aggregator --type=merge -p '{\"spec\":{\"ingress\":[]}}'",
        finds: &["no rule permits TCP 8490 from the pods"],
        repairs: "kubectl -n pushscale patch networkpolicy pushscale-aggregator --type=merge -p \"{\\\"spec\\\":{\\\"ingress\\\":$(cat ingress.json)}}\"",
    },
    // The Service of the external metrics selects no pod.
    Case {
        breaks: "kubectl -n pushscale get service pushscale-external-metrics -o=jsonpath='{.spec.selector}' >selector.json
                 kubectl -n pushscale patch service pushscale-external-metrics --type=merge -p '{\"spec\":{\"selector\":{\"app.kubernetes.io/name\":\"none\"}}}'",
        finds: &[
            "APIService v1beta1.external.metrics.k8s.io of Service pushscale/pushscale-external-metrics: Available=False, ",
            "HorizontalPodAutoscalers on external metrics do not scale",
        ],
        repairs: "kubectl -n pushscale patch service pushscale-external-metrics --type=merge -p \"{\\\"spec\\\":{\\\"selector\\\":$(cat selector.json)}}\"",
    },
    Case {
        breaks: "kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"mode\":\"Recommend\"}}'
                 kubectl -n models apply -f unknown-metric.yaml",
        finds: &[
            "HorizontalPodAutoscaler unknown-metric: ScalingActive=False, FailedGetExternalMetric",
            "→ see kubectl -n models describe hpa unknown-metric",
        ],
        repairs: "kubectl -n models delete -f unknown-metric.yaml
                  kubectl -n models patch pushscaler torchserve --type=merge -p '{\"spec\":{\"mode\":\"Apply\"}}'",
    },
];

/// Without the permission, no aggregator repairs its Lease.
pub(super) const LEASE: &[Case] = &[
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
    Case {
        breaks: "kubectl -n pushscale delete lease pushscale-aggregator",
        finds: &["there is no Lease in namespace pushscale"],
        repairs: "",
    },
];
