{{/* The replicas to apply; empty to leave them to the autoscaler. A field that Helm no longer applies gets its default of one, unless
another client has written it since. With an autoscaler, the present number is therefore applied until server-side apply has passed
the field to the autoscaler. `helm template` finds no Deployment. */}}
{{- define "torchserve.replicas" -}}
{{- if not (or .Values.pushscale.enabled .Values.autoscaling.hpa.enabled) }}
{{- .Values.replicas }}
{{- else }}
{{- $found := lookup "apps/v1" "Deployment" .Release.Namespace (include "torchserve.name" .) }}
{{- if and $found (not (include "torchserve.replicas-passed-on" $found)) }}
{{- int (dig "spec" "replicas" 1 $found) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a client applies the pod template of a Deployment server-side, as Helm does, and none applies its replicas with it. */}}
{{- define "torchserve.replicas-passed-on" -}}
{{- $applied := dict }}
{{- range dig "metadata" "managedFields" list . }}
{{- $spec := dig "fieldsV1" "f:spec" dict . }}
{{- if and (eq .operation "Apply") (hasKey $spec "f:template") }}
{{- $_ := set $applied (ternary "both" "template" (hasKey $spec "f:replicas")) true }}
{{- end }}
{{- end }}
{{- if and $applied.template (not $applied.both) }}yes{{ end }}
{{- end }}
