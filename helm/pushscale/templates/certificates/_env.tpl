{{/* Sets only what differs from the program's defaults. */}}
{{- define "pushscale.certificates-env" -}}
- name: PUSHSCALE_CERTIFICATES_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- if ne .Values.logFormat "text" }}
- name: PUSHSCALE_CERTIFICATES_LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
{{- end }}
{{- with .Values.aggregator.watchNamespace }}
- name: PUSHSCALE_CERTIFICATES_WATCH_NAMESPACE
  value: {{ . | quote }}
{{- end }}
{{- if eq .Values.tls.mode "self-signed" }}
- name: PUSHSCALE_CERTIFICATES_POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: PUSHSCALE_CERTIFICATES_AGGREGATOR_SERVICE
  value: {{ include "pushscale.aggregator" . }}
{{- if .Values.injector.enabled }}
- name: PUSHSCALE_CERTIFICATES_INJECTOR_SERVICE
  value: {{ include "pushscale.injector" . }}
{{- end }}
{{- else }}
- name: PUSHSCALE_CERTIFICATES_TLS_MODE
  value: files
{{- end }}
{{- if ne .Values.fullnameOverride "pushscale" }}
- name: PUSHSCALE_CERTIFICATES_OWNER
  value: {{ include "pushscale.certificates" . }}
{{- end }}
{{- if include "pushscale.manages-ca-bundle" . }}
- name: PUSHSCALE_CERTIFICATES_WEBHOOK
  value: {{ include "pushscale.injector" . }}
{{- end }}
{{- if .Values.externalMetrics.enabled }}
- name: PUSHSCALE_CERTIFICATES_EXTERNAL_METRICS_SERVICE
  value: {{ include "pushscale.external-metrics" . }}
{{- end }}
{{- if include "pushscale.manages-api-service" . }}
- name: PUSHSCALE_CERTIFICATES_API_SERVICE
  value: {{ include "pushscale.api-service" . }}
{{- if ne .Values.tls.mode "self-signed" }}
- name: PUSHSCALE_CERTIFICATES_POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
{{- end }}
{{- end }}
{{- with .Values.certificates.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
