{{- define "tingxie.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tingxie.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "tingxie.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tingxie.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tingxie.selector" -}}
app.kubernetes.io/name: {{ include "tingxie.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "tingxie.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "tingxie.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "tingxie.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "tingxie.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "tingxie.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}:{{ $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "tingxie.modelClaim" -}}
{{- .Values.models.persistence.existingClaim | default (printf "%s-models" (include "tingxie.fullname" .)) -}}
{{- end -}}

{{/* Whole numbers of a values file are floats by now, and 8589934592 would read 8.589934592e+09. */}}
{{- define "tingxie.number" -}}
{{- if eq (float64 (int64 .)) (float64 .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* A setting as the environment wants it: lists with commas, tables as JSON. */}}
{{- define "tingxie.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . -}}
{{- else if kindIs "map" . }}{{ toJson . -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) }}{{ include "tingxie.number" . -}}
{{- else }}{{ . }}{{ end -}}
{{- end -}}

{{/* A setting that the chart itself needs, as it was given or else the default; "name" is section and name. */}}
{{- define "tingxie.given" -}}
{{- $path := splitList "." .name -}}
{{- $section := index .root.Values.settings (first $path) | default dict -}}
{{- $value := index $section (last $path) -}}
{{- include "tingxie.setting" (ternary .default $value (kindIs "invalid" $value)) -}}
{{- end -}}

{{- define "tingxie.port" -}}
{{- include "tingxie.given" (dict "root" . "name" "telemetry.port" "default" 9464) -}}
{{- end -}}

{{/* Topics the group reads: uploads, then the rounds of retries. */}}
{{- define "tingxie.topics" -}}
{{- $uploads := include "tingxie.given" (dict "root" . "name" "topics.uploads" "default" "audio-uploaded") -}}
{{- $delays := include "tingxie.given" (dict "root" . "name" "retry.delays" "default" (list "30s" "5m")) -}}
{{- $topics := list $uploads -}}
{{- range splitList "," $delays }}{{ if . }}{{ $topics = append $topics (printf "%s.retry.%s" $uploads .) }}{{ end }}{{ end -}}
{{- join "," $topics -}}
{{- end -}}

{{/* Bytes of a quantity such as 32Gi; the schema admits no other form. */}}
{{- define "tingxie.bytes" -}}
{{- $factor := dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mul (regexFind "^[0-9]+" . | int64) (index $factor (regexFind "[MGT]i$" .)) -}}
{{- end -}}

{{/* Beyond limits.drain_seconds: 5 s to commit, 5 to leave the group, 5 to stop threads, 3 for traces, 30 for the watchdog to report. */}}
{{- define "tingxie.leastGrace" -}}
{{- $drain := include "tingxie.given" (dict "root" . "name" "limits.drain_seconds" "default" 25) | float64 | ceil | int64 -}}
{{- add $drain 48 -}}
{{- end -}}

{{- define "tingxie.grace" -}}
{{- .Values.terminationGracePeriodSeconds | int64 | default (include "tingxie.leastGrace" .) -}}
{{- end -}}

{{/* TCP port of a URL. */}}
{{- define "tingxie.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}

{{/* TCP ports that consumers must reach, as JSON: those of networkPolicy.egressPorts, and those that the settings name. */}}
{{- define "tingxie.egressPorts" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.egressPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- range include "tingxie.given" (dict "root" . "name" "kafka.bootstrap_servers" "default" "") | splitList "," -}}
{{- with regexFind ":[0-9]+$" (trim .) }}{{ $ports = append $ports (trimPrefix ":" . | int) }}{{ end -}}
{{- end -}}
{{- with include "tingxie.given" (dict "root" . "name" "storage.endpoint_url" "default" "") -}}
{{- $ports = append $ports (include "tingxie.urlPort" . | int) -}}
{{- end -}}
{{- if eq "otlp" (include "tingxie.given" (dict "root" . "name" "telemetry.traces" "default" "none")) -}}
{{- $collector := include "tingxie.given" (dict "root" . "name" "telemetry.otlp_endpoint" "default" "") | default "http://collector:4318" -}}
{{- $ports = append $ports (include "tingxie.urlPort" $collector | int) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* How long the start may take: the program ends itself before, and says why. */}}
{{- define "tingxie.startSeconds" -}}
{{- $load := include "tingxie.given" (dict "root" . "name" "engine.load_seconds" "default" 1800) | float64 -}}
{{- $stall := include "tingxie.given" (dict "root" . "name" "limits.stall_seconds" "default" 120) | float64 -}}
{{- addf $load $stall 30 | ceil | int64 -}}
{{- end -}}

{{- define "tingxie.podSecurityContext" -}}
{{- $base := dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001
  "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- mergeOverwrite $base (deepCopy .Values.podSecurityContext) | toYaml -}}
{{- end -}}

{{- define "tingxie.securityContext" -}}
{{- $base := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true
  "capabilities" (dict "drop" (list "ALL")) -}}
{{- mergeOverwrite $base (deepCopy .Values.securityContext) | toYaml -}}
{{- end -}}

{{/* Environment of the consumer, and of the init container that reads the same settings. */}}
{{- define "tingxie.environment" -}}
envFrom:
  - configMapRef: { name: {{ include "tingxie.fullname" . | quote }} }
  {{- range .Values.credentials.environment }}
  - secretRef: { name: {{ quote . }} }
  {{- end }}
{{- $storage := .Values.credentials.storage }}
{{- $kafka := .Values.credentials.kafkaProperties }}
{{- if or $storage.secret $kafka.secret .Values.extraEnv }}
env:
  {{- if $storage.secret }}
  - name: TINGXIE_STORAGE__ACCESS_KEY_ID
    valueFrom: { secretKeyRef: { name: {{ quote $storage.secret }}, key: {{ quote $storage.accessKeyId }} } }
  - name: TINGXIE_STORAGE__SECRET_ACCESS_KEY
    valueFrom: { secretKeyRef: { name: {{ quote $storage.secret }}, key: {{ quote $storage.secretAccessKey }} } }
  {{- end }}
  {{- if $kafka.secret }}
  - name: TINGXIE_KAFKA__PROPERTIES
    valueFrom: { secretKeyRef: { name: {{ quote $kafka.secret }}, key: {{ quote $kafka.key }} } }
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "tingxie.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: models, mountPath: /models }
- { name: spool, mountPath: /spool }
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
