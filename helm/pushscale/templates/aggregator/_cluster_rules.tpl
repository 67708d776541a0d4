{{- define "pushscale.cluster-rules" -}}
{{- if eq .Values.auth "token" }}
# create: authenticate the token of a push. A TokenReview is not stored.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
{{- if ne .Values.tls.mode "disabled" }}
# list, watch: find the namespaces that get the ConfigMap with the CA, except terminating ones.
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.aggregator.watchNamespace }}
  resourceNames: [{{ . }}]
  {{- end }}
  verbs: [list, watch]
# list, watch: read this object, which owns the Secrets and ConfigMaps.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "pushscale.aggregator" . }}]
  verbs: [list, watch]
{{- end }}
{{- if include "pushscale.manages-ca-bundle" . }}
# list, watch, patch: maintain the caBundle of the injector's webhook configuration, limited to this name.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "pushscale.injector" . }}]
  verbs: [list, patch, watch]
{{- end }}
{{- end }}
