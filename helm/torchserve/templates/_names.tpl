{{- define "torchserve.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "torchserve.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "torchserve.selector" . }}
{{- end }}

{{- define "torchserve.selector" -}}
app.kubernetes.io/name: torchserve
app.kubernetes.io/instance: {{ include "torchserve.name" . }}
{{- end }}

{{- define "torchserve.image" -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}

{{/* The port of an address, for example http://0.0.0.0:8080. */}}
{{- define "torchserve.port" -}}
{{ . | splitList ":" | last }}
{{- end }}

{{- define "torchserve.service-account" -}}
{{ .Values.serviceAccount.name | default (include "torchserve.name" .) }}
{{- end }}
