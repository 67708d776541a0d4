//! The files that the cases apply.

pub(super) const FILES: &[(&str, &str)] = &[
    ("no-egress.yaml", NO_EGRESS),
    ("no-dns.yaml", NO_DNS),
    ("ranges.yaml", RANGES),
    ("scaled-object.yaml", SCALED_OBJECT),
    ("targets.yaml", TARGETS),
    ("image.yaml", IMAGE),
    ("unknown-metric.yaml", UNKNOWN_METRIC),
    ("tcp-probes.yaml", TCP_PROBES),
    ("role.yaml", ROLE),
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

/// The address of the aggregator may be in the range.
const RANGES: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ranges }
spec: { podSelector: {}, policyTypes: [Egress], egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0 } }] }] }
";

const SCALED_OBJECT: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: other }
spec:
  scaleTargetRef: { name: torchserve }
  triggers: [{ type: cpu, metricType: Utilization, metadata: { value: "50" } }]
"#;

/// PushScalers with targets that cannot be scaled, and one whose pods are not created.
const TARGETS: &str = "
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1.unavailable.example.com }
spec:
  group: unavailable.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: { namespace: models, name: none }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: without-pods }
spec:
  paused: true
  selector: { matchLabels: { app: without-pods } }
  template:
    metadata: { labels: { app: without-pods } }
    spec: { containers: [{ name: server, image: pushscale.test/scratch:1 }] }
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: missing }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: none }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: unscalable }
spec:
  scaleTargetRef: { apiVersion: v1, kind: ConfigMap, name: kube-root-ca.crt }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: unknown }
spec:
  scaleTargetRef: { apiVersion: example.com/v1, kind: Widget, name: w }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: unreadable }
spec:
  scaleTargetRef: { apiVersion: unavailable.example.com/v1, kind: Widget, name: w }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: without-pods }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: without-pods }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
";

const IMAGE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: image }
spec:
  selector: { matchLabels: { app: image } }
  template:
    metadata: { labels: { app: image } }
    spec: { containers: [{ name: server, image: pushscale.test/scratch:1, imagePullPolicy: Never }] }
---
apiVersion: pushscale.dev/v1alpha1
kind: PushScaler
metadata: { name: image }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: image }
  maxReplicas: 5
  metrics: [{ type: QueueLatency, queueLatency: { target: 50ms } }]
";

/// An HPA on the metric of a PushScaler that does not exist.
const UNKNOWN_METRIC: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: unknown-metric }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  maxReplicas: 5
  metrics:
    - type: External
      external: { metric: { name: none-desired }, target: { type: AverageValue, averageValue: 1 } }
";

/// What docs/REFERENCE.md names as the permissions of `doctor`, except those on PushScalers.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { namespace: models, name: doctor }
rules:
  - { apiGroups: [apps], resources: [deployments], verbs: [get, list] }
  - { apiGroups: [apps], resources: [deployments/scale], verbs: [get] }
  - { apiGroups: [''], resources: [namespaces], verbs: [get] }
  - { apiGroups: [''], resources: [pods, configmaps, resourcequotas], verbs: [list] }
  - { apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list] }
  - { apiGroups: [autoscaling], resources: [horizontalpodautoscalers], verbs: [list] }
  - { apiGroups: [keda.sh], resources: [scaledobjects], verbs: [list] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { namespace: pushscale, name: doctor }
rules:
  - { apiGroups: [''], resources: [pods], verbs: [list] }
  - { apiGroups: [''], resources: [namespaces], verbs: [get] }
  - { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get] }
  - { apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: doctor }
rules:
  - apiGroups: [apiregistration.k8s.io]
    resources: [apiservices]
    resourceNames: [v1beta1.external.metrics.k8s.io]
    verbs: [get]
";
