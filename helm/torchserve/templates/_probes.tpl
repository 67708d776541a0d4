{{- define "torchserve.probes" -}}
startupProbe:
  {{- if .Values.probes.startup }}
  {{- toYaml .Values.probes.startup | nindent 2 }}
  {{- else }}
  httpGet: { path: /ping, port: inference }
  periodSeconds: 5
  failureThreshold: 120
  {{- end }}
readinessProbe:
  {{- if .Values.probes.readiness }}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
  {{- else if .Values.probes.model }}
  httpGet: { path: /models/{{ .Values.probes.model }}, port: management }
  periodSeconds: 2
  timeoutSeconds: 2
  {{- else }}
  httpGet: { path: /ping, port: inference }
  periodSeconds: 2
  timeoutSeconds: 2
  {{- end }}
livenessProbe:
  {{- if .Values.probes.liveness }}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
  {{- else }}
  httpGet: { path: /ping, port: inference }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
  {{- end }}
{{- end }}
