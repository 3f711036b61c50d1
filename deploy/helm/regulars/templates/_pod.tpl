{{/* A part's environment: the common settings, its own, and the secrets that it may see. Takes (list $ "ingest"). */}}
{{- define "regulars.environment" -}}
{{- $root := index . 0 -}}
{{- $part := get $root.Values (index . 1) -}}
{{- range $name, $value := mergeOverwrite (deepCopy $root.Values.settings) ($part.settings | default dict) }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name := concat $part.secrets ($part.optionalSecrets | default list) }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ include "regulars.secret" $root }}, key: {{ $name }}, optional: {{ has $name ($part.optionalSecrets | default list) }}}}
{{- end }}
{{- end }}

{{/* What every pod is allowed: little. Takes $. */}}
{{- define "regulars.pod" -}}
automountServiceAccountToken: false
# Else Kubernetes would tell a Service `regulars-ingest` as REGULARS_INGEST_PORT=tcp://..., which is a setting's name.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  {{- if .Values.certificates }}
  fsGroup: 10001 # may read the certificates
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  {{- with .Values.certificates }}
  - name: certificates
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "regulars.container" -}}
image: {{ include "regulars.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.certificates }}
  - {name: certificates, mountPath: /etc/regulars/certificates, readOnly: true}
  {{- end }}
{{- end }}
