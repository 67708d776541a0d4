{{- define "pushscale.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "pushscale.pod-labels" . }}
{{- end }}

{{/* These labels contain no versions, so that a new chart version alone does not restart pods. */}}
{{- define "pushscale.pod-labels" -}}
app.kubernetes.io/part-of: pushscale
app.kubernetes.io/instance: {{ .Release.Name }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pushscale.aggregator-selector" -}}
app.kubernetes.io/name: {{ include "pushscale.aggregator" . }}
{{- end }}

{{- define "pushscale.certificates-selector" -}}
app.kubernetes.io/name: {{ include "pushscale.certificates" . }}
{{- end }}

{{- define "pushscale.injector-selector" -}}
app.kubernetes.io/name: {{ include "pushscale.injector" . }}
{{- end }}
