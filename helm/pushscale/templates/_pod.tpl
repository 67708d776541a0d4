{{/* Common pod spec of all programs. Takes `root` and `of`, the values of one program. */}}
{{- define "pushscale.pod" -}}
enableServiceLinks: false
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .of.tolerations (fromYamlArray (include "pushscale.node-failure-tolerations" .of)) }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* Seconds instead of the five minutes that Kubernetes waits by default before it replaces the pods of a failed node. */}}
{{- define "pushscale.node-failure-tolerations" -}}
{{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
- { key: {{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $.nodeFailureSeconds }} }
{{- end }}
{{- end }}

{{/* Common container spec. Takes `root`, `of` and `name`. */}}
{{- define "pushscale.container" -}}
name: {{ .name }}
image: {{ include "pushscale.image" (dict "image" .of.image "registry" .root.Values.imageRegistry "version" .root.Chart.AppVersion) }}
imagePullPolicy: {{ .of.image.pullPolicy }}
livenessProbe:
  httpGet: { path: /live, port: admin }
readinessProbe:
  httpGet: { path: /ready, port: admin }
  periodSeconds: 2
{{- with .of.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "pushscale.container-security" . | nindent 2 }}
{{- end }}

{{- define "pushscale.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}
