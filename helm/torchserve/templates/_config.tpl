{{- define "torchserve.config" -}}
{{- $own := dict
  "inference_address" .Values.config.inferenceAddress
  "management_address" .Values.config.managementAddress
  "metrics_address" .Values.config.metricsAddress
  "metrics_mode" .Values.config.metricsMode
  "model_store" .Values.modelStore.path
  "load_models" .Values.config.loadModels
  "job_queue_size" (.Values.config.jobQueueSize | int)
  "default_workers_per_model" (.Values.config.defaultWorkersPerModel | int)
  "default_response_timeout" (.Values.config.defaultResponseTimeout | int)
  "allowed_urls" .Values.config.allowedUrls
  "disable_token_authorization" (not .Values.config.tokenAuthorization)
  "install_py_dep_per_model" false
}}
{{- range $key, $value := merge $own .Values.config.extra }}
{{ $key }}={{ $value }}
{{- end }}
{{- end }}
