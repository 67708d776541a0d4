{{- define "pushscale.aggregator" -}}
{{ .Values.fullnameOverride }}-aggregator
{{- end }}

{{- define "pushscale.injector" -}}
{{ .Values.fullnameOverride }}-injector
{{- end }}

{{- define "pushscale.external-metrics" -}}
{{ .Values.fullnameOverride }}-external-metrics
{{- end }}

{{- define "pushscale.keda" -}}
{{ .Values.fullnameOverride }}-keda
{{- end }}

{{- define "pushscale.api-service" -}}
v1beta1.external.metrics.k8s.io
{{- end }}

{{- define "pushscale.certificates" -}}
{{ .Values.fullnameOverride }}-certificates
{{- end }}

{{/* Takes `image`, `registry` and `version`. */}}
{{- define "pushscale.image" -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{/* The address that sidecars push to. The trailing dot avoids lookups in the pod's DNS search domains. A self-signed certificate
covers cluster.local only: with another cluster domain the address has no domain and needs the lookups. */}}
{{- define "pushscale.push-address" -}}
{{- $host := printf "%s.%s.svc" (include "pushscale.aggregator" .) .Release.Namespace }}
{{- $usual := eq .Values.clusterDomain "cluster.local" }}
{{- if or $usual (ne .Values.tls.mode "self-signed") }}{{ $host }}.{{ .Values.clusterDomain }}.:8490
{{- else }}{{ $host }}:8490
{{- end }}
{{- end }}

{{/* Names of the certificate Secrets. pushscale-certificates creates the self-signed ones, with fixed names. */}}
{{- define "pushscale.aggregator-secret" -}}
{{- if eq .Values.tls.mode "secret" }}
{{- required "tls.secret.aggregator is empty: tls.mode=secret requires the name of a Secret with tls.crt, tls.key and ca.crt" .Values.tls.secret.aggregator }}
{{- else if eq .Values.tls.mode "self-signed" }}pushscale-aggregator-tls
{{- else }}{{ include "pushscale.aggregator" . }}-tls
{{- end }}
{{- end }}

{{- define "pushscale.injector-secret" -}}
{{- if eq .Values.tls.mode "secret" }}
{{- required "tls.secret.injector is empty: tls.mode=secret requires the name of a Secret with tls.crt and tls.key, or injector.enabled=false" .Values.tls.secret.injector }}
{{- else if eq .Values.tls.mode "self-signed" }}pushscale-injector-tls
{{- else }}{{ include "pushscale.injector" . }}-tls
{{- end }}
{{- end }}

{{- define "pushscale.external-metrics-secret" -}}
{{- if eq .Values.tls.mode "secret" }}
{{- required "tls.secret.externalMetrics is empty: tls.mode=secret requires the name of a Secret with tls.crt and tls.key, or externalMetrics.enabled=false" .Values.tls.secret.externalMetrics }}
{{- else if eq .Values.tls.mode "self-signed" }}pushscale-external-metrics-tls
{{- else }}{{ include "pushscale.external-metrics" . }}-tls
{{- end }}
{{- end }}

{{/* Whether pushscale-certificates maintains the caBundle of the APIService. */}}
{{- define "pushscale.manages-api-service" -}}
{{- if and .Values.externalMetrics.enabled (or (eq .Values.tls.mode "self-signed") (and (eq .Values.tls.mode "secret") (not .Values.tls.secret.caBundle))) }}yes{{ end }}
{{- end }}

{{/* Whether pushscale-certificates maintains the webhook's caBundle; cert-manager or the values may provide it instead. */}}
{{- define "pushscale.manages-ca-bundle" -}}
{{- if and .Values.injector.enabled (or (eq .Values.tls.mode "self-signed") (and (eq .Values.tls.mode "secret") (not .Values.tls.secret.caBundle))) }}yes{{ end }}
{{- end }}

{{/* Whether the cluster has admission policies. */}}
{{- define "pushscale.admission-policies" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}yes{{ end }}
{{- end }}

{{/* Whether an admission policy limits the aggregator's pod patches to one annotation. */}}
{{- define "pushscale.pod-policy" -}}
{{- if and .Values.aggregator.podDeletionCost (include "pushscale.admission-policies" .) }}yes{{ end }}
{{- end }}
