{{/* DNS and the API server, whose address is not known in advance. */}}
{{- define "pushscale.egress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- ports:
    {{- range .Values.networkPolicy.egress.apiServerPorts }}
    - { port: {{ . | int }} }
    {{- end }}
{{- end }}
