{{/* Rejects combinations of values that the schema cannot express. */}}
{{- define "pushscale.validate" -}}
{{- if and .Values.injector.enabled (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and injector.enabled is true: the API server calls webhooks over TLS only. Set injector.enabled=false or another tls.mode" }}
{{- end }}
{{- if and .Values.injector.enabled (eq (.Values.aggregator.watchNamespace | default "") .Release.Namespace) }}
{{- fail (printf "aggregator.watchNamespace is the release namespace, %s, and injector.enabled is true: the injector never changes pods of its own namespace. Install the release into another namespace, or set injector.enabled=false" .Release.Namespace) }}
{{- end }}
{{- if and .Values.externalMetrics.enabled (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and externalMetrics.enabled is true: the API server calls aggregated APIs over TLS only. Set externalMetrics.enabled=false or another tls.mode" }}
{{- end }}
{{- if and (eq .Values.auth "token") (eq .Values.tls.mode "disabled") }}
{{- fail "tls.mode is disabled and auth is token: sidecars send tokens over TLS only. Set auth=none or another tls.mode" }}
{{- end }}
{{- if and .Values.externalMetrics.enabled .Values.keda.enabled }}
{{- fail "externalMetrics.enabled and keda.enabled are true: KEDA serves the external metrics of a cluster itself. Set one of them to false" }}
{{- end }}
{{- if and .Values.externalMetrics.enabled (has (int .Values.externalMetrics.port) (list 8490 8491)) }}
{{- fail "externalMetrics.port is 8490 or 8491, which the aggregator uses for pushes and its admin server. Set another port" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.adminFrom) }}
{{- fail "serviceMonitor.enabled is true and networkPolicy.adminFrom is empty: the network policy would block Prometheus. Add its namespace to networkPolicy.adminFrom or set networkPolicy.enabled=false" }}
{{- end }}
{{- include "pushscale.validate-namespace" . }}
{{- include "pushscale.validate-other-installations" . }}
{{- end }}

{{/* Two installations in one namespace overwrite each other's certificates, whose Secrets have fixed names, and the alerts
distinguish installations by their namespace. `helm template` finds none. */}}
{{- define "pushscale.validate-namespace" -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items | default list }}
{{- $labels := .metadata.labels | default dict }}
{{- $release := get $labels "app.kubernetes.io/instance" }}
{{- if and (eq (get $labels "app.kubernetes.io/part-of") "pushscale") (ne $release $.Release.Name) }}
{{- fail (printf "the namespace %s has another installation, release %s: uninstall it, or install this one into a namespace of its own" $.Release.Namespace $release) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Two installations that watch one namespace scale the same PushScalers, and overwrite each other's CA in it. Their
bindings of the permission to scale show what they watch. `helm template` finds none. */}}
{{- define "pushscale.validate-other-installations" -}}
{{- $watched := .Values.aggregator.watchNamespace | default "" }}
{{- $bindings := (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" $watched "").items | default list }}
{{- /* Without tokens, an installation for one namespace needs no permission beyond it. */}}
{{- if or (not $watched) (eq .Values.auth "token") }}
{{- $bindings = concat $bindings ((lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "").items | default list) }}
{{- end }}
{{- range $binding := $bindings }}
{{- $labels := $binding.metadata.labels | default dict }}
{{- if and (eq (get $labels "app.kubernetes.io/part-of") "pushscale") (hasSuffix "-aggregator-scaling" $binding.metadata.name) }}
{{- $account := $binding.subjects | default (list dict) | first }}
{{- $installed := $binding.metadata.annotations | default dict }}
{{- $ours := and (eq (get $account "namespace") $.Release.Namespace) (eq (get $account "name") (include "pushscale.aggregator" $)) }}
{{- /* An upgrade with another fullnameOverride removes the old objects afterwards. */}}
{{- $ours = or $ours (and (eq (get $installed "meta.helm.sh/release-name") $.Release.Name) (eq (get $installed "meta.helm.sh/release-namespace") $.Release.Namespace)) }}
{{- if not $ours }}
{{- $where := $binding.metadata.namespace | default "all namespaces" }}
{{- fail (printf "another installation, %s/%s, scales the PushScalers of %s: uninstall one, or set aggregator.watchNamespace of both to different namespaces" (get $account "namespace") (get $account "name") $where) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
