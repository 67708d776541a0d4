{{- define "pushscale.aggregator" -}}
{{ .Values.fullnameOverride }}-aggregator
{{- end }}

{{- define "pushscale.injector" -}}
{{ .Values.fullnameOverride }}-injector
{{- end }}

{{/* Takes `image`, `registry` and `version`. */}}
{{- define "pushscale.image" -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{/* Where sidecars push to. The final dot spares the search through the pod's DNS domains. A self-signed certificate knows no other
domain than the usual one: there the search must do. */}}
{{- define "pushscale.push-address" -}}
{{- $host := printf "%s.%s.svc" (include "pushscale.aggregator" .) .Release.Namespace }}
{{- $usual := eq .Values.clusterDomain "cluster.local" }}
{{- if or $usual (ne .Values.tls.mode "selfSigned") }}{{ $host }}.{{ .Values.clusterDomain }}.:8490
{{- else }}{{ $host }}:8490
{{- end }}
{{- end }}

{{/* The Secrets with certificates. The self-signed ones have the names that the aggregator gives them. */}}
{{- define "pushscale.aggregator-secret" -}}
{{- if eq .Values.tls.mode "secret" }}
{{- required "tls.secret.aggregator is empty: tls.mode secret needs the name of a Secret with tls.crt, tls.key and ca.crt" .Values.tls.secret.aggregator }}
{{- else }}{{ include "pushscale.aggregator" . }}-tls
{{- end }}
{{- end }}

{{- define "pushscale.injector-secret" -}}
{{- if eq .Values.tls.mode "secret" }}
{{- required "tls.secret.injector is empty: tls.mode secret needs the name of a Secret with tls.crt and tls.key, or injector.enabled=false" .Values.tls.secret.injector }}
{{- else if eq .Values.tls.mode "selfSigned" }}pushscale-injector-tls
{{- else }}{{ include "pushscale.injector" . }}-tls
{{- end }}
{{- end }}

{{/* Whether the aggregator writes the caBundle of the webhook: not where somebody else has it. */}}
{{- define "pushscale.keeps-webhook" -}}
{{- if and .Values.injector.enabled (or (eq .Values.tls.mode "selfSigned") (and (eq .Values.tls.mode "secret") (not .Values.tls.secret.caBundle))) }}yes{{ end }}
{{- end }}

{{/* Whether what the aggregator may do to pods is limited to the annotation that it needs. */}}
{{- define "pushscale.pod-policy" -}}
{{- if and .Values.aggregator.podDeletionCost (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) }}yes{{ end }}
{{- end }}
