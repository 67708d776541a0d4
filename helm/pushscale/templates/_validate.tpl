{{/* Rejects combinations of values that the schema cannot express. */}}
{{- define "pushscale.validate" -}}
{{- if and .Values.injector.enabled (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and injector.enabled is true: the API server calls webhooks over TLS only. Set injector.enabled=false or another tls.mode" }}
{{- end }}
{{- if and .Values.externalMetrics.enabled (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and externalMetrics.enabled is true: the API server calls aggregated APIs over TLS only. Set externalMetrics.enabled=false or another tls.mode" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.adminFrom) }}
{{- fail "serviceMonitor.enabled is true and networkPolicy.adminFrom is empty: the network policy would block Prometheus. Add its namespace to networkPolicy.adminFrom or set networkPolicy.enabled=false" }}
{{- end }}
{{- end }}
