{{/* The same sidecar container that the injector adds. */}}
{{- define "torchserve.sidecar" -}}
{{- $config := .Values.config }}
{{- with .Values.pushscale }}
name: pushscale-sidecar
image: {{ include "torchserve.image" .image }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- if .nativeSidecar }}
restartPolicy: Always
{{- else }}
# A plain container gets SIGTERM together with TorchServe; it must run until TorchServe is drained.
lifecycle:
  preStop:
    httpGet: { path: /drain, port: 8492 }
{{- end }}
env:
  - name: PUSHSCALE_SIDECAR_AGGREGATOR
    value: {{ .aggregator | quote }}
  - name: PUSHSCALE_SIDECAR_POD_NAMESPACE
    valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
  - name: PUSHSCALE_SIDECAR_POD_NAME
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  - name: PUSHSCALE_SIDECAR_POD_UID
    valueFrom: { fieldRef: { fieldPath: metadata.uid } }
  {{- if eq .auth "token" }}
  - name: PUSHSCALE_SIDECAR_TOKEN_FILE
    value: /var/run/secrets/pushscale.dev/token
  - name: PUSHSCALE_SIDECAR_CA_FILE
    value: /var/run/secrets/pushscale.dev/ca.crt
  {{- end }}
  {{- /* Sets only what differs from the sidecar's defaults. */}}
  {{- with include "torchserve.port" $config.metricsAddress }}
  {{- if ne . "8082" }}
  - name: PUSHSCALE_SIDECAR_METRICS_URL
    value: http://127.0.0.1:{{ . }}
  {{- end }}
  {{- end }}
  {{- with include "torchserve.port" $config.managementAddress }}
  {{- if ne . "8081" }}
  - name: PUSHSCALE_SIDECAR_MANAGEMENT_URL
    value: http://127.0.0.1:{{ . }}
  {{- end }}
  {{- end }}
  {{- if ne .scrapeInterval "1s" }}
  - name: PUSHSCALE_SIDECAR_SCRAPE_INTERVAL
    value: {{ .scrapeInterval }}
  {{- end }}
  {{- if ne (int .drainDeadlineSeconds) 25 }}
  - name: PUSHSCALE_SIDECAR_DRAIN_DEADLINE
    value: {{ int .drainDeadlineSeconds }}s
  {{- end }}
ports:
  - { name: pushscale, containerPort: 8492 }
livenessProbe:
  httpGet: { path: /live, port: 8492 }
resources: {{- .resources | default (include "torchserve.sidecar-resources" $ | fromYaml) | toYaml | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
  seccompProfile: { type: RuntimeDefault }
{{- if eq .auth "token" }}
volumeMounts:
  - { name: pushscale-trust, mountPath: /var/run/secrets/pushscale.dev, readOnly: true }
{{- end }}
{{- end }}
{{- end }}

{{/* Next to a container with a CPU limit, the sidecar has one too, because a quota may require it of every container, and requests
equal to its limits, which keeps the pod's QoS class Guaranteed. */}}
{{- define "torchserve.sidecar-resources" -}}
{{- if dig "limits" "cpu" "" (.Values.resources | default dict) }}
requests: { cpu: 20m, memory: 16Mi }
limits: { cpu: 20m, memory: 16Mi }
{{- else }}
requests: { cpu: 1m, memory: 4Mi }
limits: { memory: 16Mi }
{{- end }}
{{- end }}

{{- define "torchserve.credentials-volume" -}}
name: pushscale-trust
projected:
  # 0444 in decimal, because YAML 1.1 and 1.2 read octal differently.
  defaultMode: 292
  sources:
    - serviceAccountToken: { audience: pushscale, expirationSeconds: 3600, path: token }
    # Optional: a missing CA must not keep TorchServe from starting.
    - configMap:
        name: pushscale-ca
        optional: true
        items: [{ key: ca.crt, path: ca.crt }]
{{- end }}
