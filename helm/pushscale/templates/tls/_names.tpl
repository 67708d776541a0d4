{{- define "pushscale.own-issuer" -}}
{{- if and (eq .Values.tls.mode "cert-manager") (not .Values.tls.certManager.issuer.name) }}yes{{ end }}
{{- end }}

{{- define "pushscale.issuer-ref" -}}
group: cert-manager.io
{{- with .Values.tls.certManager.issuer }}
kind: {{ empty .name | ternary "Issuer" .kind }}
name: {{ .name | default (printf "%s-ca" $.Values.fullnameOverride) }}
{{- end }}
{{- end }}

{{/* Takes `root`, `name` and `secret`. */}}
{{- define "pushscale.certificate" -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "pushscale.labels" .root | nindent 4 }}
spec:
  secretName: {{ .secret }}
  duration: {{ .root.Values.tls.certManager.duration }}
  renewBefore: {{ .root.Values.tls.certManager.renewBefore }}
  privateKey: { algorithm: ECDSA, rotationPolicy: Always }
  dnsNames:
    - {{ .name }}.{{ .root.Release.Namespace }}.svc
    - {{ .name }}.{{ .root.Release.Namespace }}.svc.{{ .root.Values.clusterDomain }}
  issuerRef: {{- include "pushscale.issuer-ref" .root | nindent 4 }}
{{- end }}
