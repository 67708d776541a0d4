{{/* Sets only what differs from the program's defaults. */}}
{{- define "pushscale.aggregator-env" -}}
- name: PUSHSCALE_AGGREGATOR_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- if ne .Values.logFormat "text" }}
- name: PUSHSCALE_AGGREGATOR_LOG_FORMAT
  value: {{ .Values.logFormat | quote }}
{{- end }}
- name: PUSHSCALE_AGGREGATOR_LEADER_ELECTION
  value: "true"
- name: PUSHSCALE_AGGREGATOR_LEASE
  value: {{ include "pushscale.aggregator" . }}
- name: PUSHSCALE_AGGREGATOR_LEASE_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: PUSHSCALE_AGGREGATOR_POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
# A new version takes over the load history from the former one.
- name: PUSHSCALE_AGGREGATOR_PEERS
  value: {{ printf "%s.%s.svc:8491" (include "pushscale.aggregator" .) .Release.Namespace }}
- name: PUSHSCALE_AGGREGATOR_MAX_CONNECTIONS
  value: {{ .Values.aggregator.maxConnections | int | quote }}
- name: PUSHSCALE_AGGREGATOR_MAX_PUSHES_PER_SECOND
  value: {{ .Values.aggregator.maxPushesPerSecond | int | quote }}
{{- with .Values.aggregator.watchNamespace }}
- name: PUSHSCALE_AGGREGATOR_WATCH_NAMESPACE
  value: {{ . | quote }}
{{- end }}
{{- if not .Values.aggregator.podDeletionCost }}
- name: PUSHSCALE_AGGREGATOR_POD_DELETION_COST
  value: "false"
{{- end }}
{{- if not .Values.aggregator.scalerMetrics }}
- name: PUSHSCALE_AGGREGATOR_SCALER_METRICS
  value: "false"
{{- end }}
{{- if eq .Values.auth "token" }}
- name: PUSHSCALE_AGGREGATOR_AUTH
  value: token
{{- end }}
{{- if ne .Values.tls.mode "disabled" }}
- name: PUSHSCALE_AGGREGATOR_TLS_MODE
  value: files
{{- end }}
{{- if .Values.externalMetrics.enabled }}
- name: PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS
  value: "true"
{{- if ne (int .Values.externalMetrics.port) 8496 }}
- name: PUSHSCALE_AGGREGATOR_EXTERNAL_METRICS_LISTEN
  value: {{ printf "[::]:%d" (int .Values.externalMetrics.port) | quote }}
{{- end }}
{{- end }}
{{- if .Values.keda.enabled }}
- name: PUSHSCALE_AGGREGATOR_KEDA
  value: "true"
{{- end }}
{{- with .Values.aggregator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
