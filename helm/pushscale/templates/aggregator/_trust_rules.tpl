{{- define "pushscale.trust-rules" -}}
{{- if eq .Values.auth "token" }}
# create: ask the API server whose token a push carries. Nothing is made.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
{{- if and (ne .Values.tls.mode "disabled") (not .Values.aggregator.namespace) }}
# list, watch: a new namespace gets the ConfigMap with the CA, too.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if include "pushscale.keeps-webhook" . }}
# get, list, watch, patch: keep the caBundle of the injector's webhook, of this one name.
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "pushscale.injector" . }}]
  verbs: [get, list, watch, patch]
{{- end }}
{{- end }}
