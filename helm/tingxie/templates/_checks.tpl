{{/* What the schema cannot say: values that contradict each other are refused, with what to do. */}}
{{- define "tingxie.check" -}}
{{- include "tingxie.checkSettings" . -}}
{{- include "tingxie.checkReplicas" . -}}
{{- include "tingxie.checkSpool" . -}}
{{- $least := include "tingxie.leastGrace" . | int64 -}}
{{- if lt (include "tingxie.grace" . | int64) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is too short: limits.drain_seconds and what comes after it take up to %d; set 0 or at least %d" .Values.terminationGracePeriodSeconds $least $least) -}}
{{- end -}}
{{- if hasKey (.Values.settings.engine | default dict) "device" -}}
{{- $device := .Values.settings.engine.device -}}
{{- if and .Values.gpu.enabled (eq $device "cpu") -}}
{{- fail "settings.engine.device is cpu, but gpu.enabled asks for a GPU; set gpu.enabled=false" -}}
{{- else if and (not .Values.gpu.enabled) (eq $device "cuda") -}}
{{- fail "settings.engine.device is cuda, but gpu.enabled is false; set gpu.enabled=true" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tingxie.checkSettings" -}}
{{- $kafka := .Values.settings.kafka | default dict -}}
{{- if not (get $kafka "bootstrap_servers") -}}
{{- fail "settings.kafka.bootstrap_servers is missing; set it to the brokers, host:port with commas" -}}
{{- end -}}
{{- range $name, $_ := get $kafka "properties" | default dict -}}
{{- if regexMatch "password|secret|\\.pem$|private\\.key|oauthbearer\\.config|jaas|token" $name -}}
{{- fail (printf "settings.kafka.properties: %s is a secret and would lie in a ConfigMap; put all properties as JSON into a Secret and name it in credentials.kafkaProperties.secret" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.credentials.kafkaProperties.secret (get $kafka "properties") -}}
{{- fail "settings.kafka.properties and credentials.kafkaProperties.secret are both given, and the Secret would replace the rest; put all properties into the Secret" -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if and (has .name (list "TINGXIE_STORAGE__SECRET_ACCESS_KEY" "TINGXIE_KAFKA__PROPERTIES")) (hasKey . "value") -}}
{{- fail (printf "extraEnv: %s would lie in the Deployment as plain text; name an existing Secret under credentials" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tingxie.checkReplicas" -}}
{{- $most := int64 .Values.replicas -}}
{{- if .Values.autoscaling.enabled -}}
{{- $most = int64 .Values.autoscaling.maxReplicas -}}
{{- $partitions := int64 .Values.autoscaling.partitions -}}
{{- if lt $partitions 1 -}}
{{- fail "autoscaling.partitions is missing; set it to the number of partitions of the upload topic" -}}
{{- end -}}
{{- if gt $most $partitions -}}
{{- fail (printf "autoscaling.maxReplicas: %d consumers for %d partitions, so %d would have nothing to do; set at most %d, or give the topic more partitions and set autoscaling.partitions" $most $partitions (sub $most $partitions) $partitions) -}}
{{- end -}}
{{- if gt (int64 .Values.autoscaling.minReplicas) $most -}}
{{- fail (printf "autoscaling.minReplicas: %v is more than maxReplicas, %d" .Values.autoscaling.minReplicas $most) -}}
{{- end -}}
{{- end -}}
{{- $claim := .Values.models.persistence -}}
{{- if and $claim.enabled (not $claim.existingClaim) (not (has "ReadWriteMany" $claim.accessModes)) -}}
{{- if gt $most 1 -}}
{{- fail (printf "models.persistence.accessModes: up to %d consumers share the claim, which takes ReadWriteMany; set it, or replicas to 1" $most) -}}
{{- else if .Values.rollout.surge -}}
{{- fail "models.persistence.accessModes: a rollout starts a second consumer, which could not mount the claim on another node; set ReadWriteMany, or rollout.surge=false" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tingxie.checkSpool" -}}
{{- $objects := include "tingxie.given" (dict "root" . "name" "limits.in_flight_bytes" "default" 8589934592) | int64 -}}
{{- $object := include "tingxie.given" (dict "root" . "name" "limits.object_bytes" "default" 2147483648) | int64 -}}
{{- $fetching := include "tingxie.given" (dict "root" . "name" "limits.fetch_workers" "default" 4) | int64 -}}
{{- $audio := include "tingxie.given" (dict "root" . "name" "limits.in_flight_audio_seconds" "default" 86400) | int64 -}}
{{- $longest := include "tingxie.given" (dict "root" . "name" "limits.audio_seconds" "default" 43200) | int64 -}}
{{- $decoding := include "tingxie.given" (dict "root" . "name" "limits.decode_workers" "default" 2) | int64 -}}
{{- /* Each worker may begin one more just below the limit; a second of decoded audio is 32000 bytes a channel. */ -}}
{{- $least := add $objects (mul $fetching $object) (mul 32000 (add $audio (mul $decoding $longest))) -}}
{{- if gt $least (include "tingxie.bytes" .Values.spool.sizeLimit | int64) -}}
{{- fail (printf "spool.sizeLimit: %s is too small: with these settings.limits audio in work takes up to %dGi, and a pod above its limit is evicted; set more, or lower limits.in_flight_bytes, limits.in_flight_audio_seconds, limits.object_bytes or limits.audio_seconds" .Values.spool.sizeLimit (add 1 (div $least 1073741824))) -}}
{{- end -}}
{{- end -}}
