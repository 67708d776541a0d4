{{/* The release namespace is always excluded: an injector must not depend on itself to start. */}}
{{- define "pushscale.webhook-namespaces" -}}
- { key: kubernetes.io/metadata.name, operator: NotIn, values: {{ append .Values.injector.webhook.excludedNamespaces .Release.Namespace | uniq | toJson }} }
{{- with .Values.aggregator.watchNamespace }}
- { key: kubernetes.io/metadata.name, operator: In, values: [{{ . }}] }
{{- end }}
{{- end }}

{{- define "pushscale.webhook" -}}
clientConfig:
  service:
    name: {{ include "pushscale.injector" . }}
    namespace: {{ .Release.Namespace }}
    path: /inject
    port: 443
  {{- if and (eq .Values.tls.mode "secret") .Values.tls.secret.caBundle }}
  caBundle: {{ .Values.tls.secret.caBundle | b64enc }}
  {{- end }}
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
    scope: Namespaced
# Mirror pods of static pods cannot be mutated.
matchConditions:
  - name: no-mirror-pod
    expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
failurePolicy: {{ .Values.injector.webhook.failurePolicy }}
matchPolicy: Equivalent
reinvocationPolicy: {{ .Values.injector.webhook.reinvocationPolicy }}
timeoutSeconds: {{ .Values.injector.webhook.timeoutSeconds }}
{{- end }}
