{{/* What the schema cannot say: values that contradict each other, in words. */}}
{{- define "torchserve.refusals" -}}
{{- if and .Values.pushscale.enabled .Values.autoscaling.hpa.enabled }}
{{- fail "pushscale.enabled and autoscaling.hpa.enabled are both true: two autoscalers never write one Deployment. Set one of them to false" }}
{{- end }}
{{- if and .Values.pushscale.enabled (eq .Values.config.metricsMode "log") }}
{{- fail "config.metricsMode is log and pushscale.enabled is true: the metrics port would be empty. Set config.metricsMode=prometheus" }}
{{- end }}
{{- if and .Values.pushscale.enabled (hasKey .Values.lifecycle "preStop") }}
{{- fail "lifecycle.preStop is set and pushscale.enabled is true: the pod's preStop is the drain. Take lifecycle.preStop away" }}
{{- end }}
{{- if and (eq .Values.modelStore.type "claim") (not .Values.modelStore.claim) }}
{{- fail "modelStore.claim is empty: modelStore.type claim needs the name of a PersistentVolumeClaim" }}
{{- end }}
{{- if and (eq .Values.modelStore.type "emptyDir") (not .Values.modelStore.fetch.image) }}
{{- fail "modelStore.fetch.image is empty: modelStore.type emptyDir needs an init container that fills it" }}
{{- end }}
{{- if and .Values.config.tokenAuthorization (not (and .Values.probes.readiness .Values.probes.startup .Values.probes.liveness)) }}
{{- fail "config.tokenAuthorization is true and probes.readiness, probes.startup or probes.liveness is empty: TorchServe would refuse the chart's probes, which have no token. Set all three" }}
{{- end }}
{{- end }}
