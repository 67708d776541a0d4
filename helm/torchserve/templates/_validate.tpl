{{/* Rejects combinations of values that the schema cannot express. */}}
{{- define "torchserve.validate" -}}
{{- if and .Values.pushscale.enabled .Values.autoscaling.hpa.enabled }}
{{- fail "pushscale.enabled and autoscaling.hpa.enabled are both true: two autoscalers must not scale one Deployment. Set one of them to false" }}
{{- end }}
{{- if and .Values.pushscale.enabled (eq .Values.config.metricsMode "log") }}
{{- fail "config.metricsMode is log and pushscale.enabled is true: TorchServe would expose no metrics. Set config.metricsMode=prometheus" }}
{{- end }}
{{- if and .Values.pushscale.enabled (hasKey .Values.lifecycle "preStop") }}
{{- fail "lifecycle.preStop is set and pushscale.enabled is true: the preStop hook is the drain. Remove lifecycle.preStop" }}
{{- end }}
{{- if and (eq .Values.modelStore.type "claim") (not .Values.modelStore.claim) }}
{{- fail "modelStore.claim is empty: modelStore.type=claim requires the name of a PersistentVolumeClaim" }}
{{- end }}
{{- if and (eq .Values.modelStore.type "emptyDir") (not .Values.modelStore.fetch.image) }}
{{- fail "modelStore.fetch.image is empty: modelStore.type=emptyDir requires an init container that downloads the models" }}
{{- end }}
{{- if and .Values.config.tokenAuthorization (not (and .Values.probes.readiness .Values.probes.startup .Values.probes.liveness)) }}
{{- fail "config.tokenAuthorization is true and probes.readiness, probes.startup or probes.liveness is empty: TorchServe would reject the chart's probes, which have no token. Set all three" }}
{{- end }}
{{- end }}
