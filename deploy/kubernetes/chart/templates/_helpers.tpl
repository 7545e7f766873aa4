{{- define "scheduler.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- define "scheduler.labels" -}}
{{ include "scheduler.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
{{/* Not `scheduler`: a Service of that name puts SCHEDULER_PORT=tcp://... into its neighbours. */}}
{{- define "scheduler.name" -}}
{{- if eq .Release.Name "scheduler" }}scheduler-svc{{ else }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}{{ end -}}
{{- end -}}
{{- define "scheduler.secret" -}}
{{- if and .Values.database.existingSecret (or .Values.keys.secrets .Values.keys.bootstrap) }}
{{- fail "put SCHEDULER_SECRET_KEYS and SCHEDULER_BOOTSTRAP_KEY into the Secret of database.existingSecret, and leave keys empty" }}
{{- else if .Values.database.existingSecret }}{{ .Values.database.existingSecret }}
{{- else if .Values.database.url }}{{ include "scheduler.name" . }}
{{- else }}{{ fail "set database.existingSecret, a Secret with the key DATABASE_URL, or database.url" }}
{{- end }}
{{- end -}}
{{- define "scheduler.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- define "scheduler.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- define "scheduler.container" -}}
image: {{ include "scheduler.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}
