{{/* Name servers, and the API server, whose address nobody can name beforehand. */}}
{{- define "pushscale.egress" -}}
- ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- ports:
    {{- range .Values.networkPolicy.egress.apiServerPorts }}
    - { port: {{ . | int }} }
    {{- end }}
{{- end }}
