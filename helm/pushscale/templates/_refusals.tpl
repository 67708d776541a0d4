{{/* What the schema cannot say: values that contradict each other, in words. */}}
{{- define "pushscale.refusals" -}}
{{- if and .Values.injector.enabled (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and injector.enabled is true: the API server calls webhooks by TLS only. Set injector.enabled=false, or another tls.mode" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.adminFrom) }}
{{- fail "serviceMonitor.enabled is true and networkPolicy.adminFrom is empty: Prometheus would not reach the admin ports. Name its namespace in networkPolicy.adminFrom, or set networkPolicy.enabled=false" }}
{{- end }}
{{- end }}
