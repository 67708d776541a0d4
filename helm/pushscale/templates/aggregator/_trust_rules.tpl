{{- define "pushscale.trust-rules" -}}
{{- if eq .Values.auth "token" }}
# create: ask the API server whose token a push carries. Nothing is made.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
{{- if ne .Values.tls.mode "disabled" }}
# list, watch: where the ConfigMap with the CA belongs, and which namespace is about to end.
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.aggregator.namespace }}
  resourceNames: [{{ . }}]
  {{- end }}
  verbs: [list, watch]
# list, watch: this very object, by which what is written is owned.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "pushscale.aggregator" . }}]
  verbs: [list, watch]
{{- end }}
{{- if include "pushscale.keeps-webhook" . }}
# list, watch, patch: keep the caBundle of the injector's webhook, of this one name.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "pushscale.injector" . }}]
  verbs: [list, patch, watch]
{{- end }}
{{- end }}
