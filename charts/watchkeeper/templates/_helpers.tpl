{{/* The name of everything that the chart makes. */}}
{{- define "watchkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default "watchkeeper-operator" .Values.nameOverride -}}
{{- if or (eq .Release.Name "watchkeeper") (eq .Release.Name $name) -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; must never change. */}}
{{- define "watchkeeper.selector" -}}
app.kubernetes.io/name: watchkeeper-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "watchkeeper.labels" -}}
{{ include "watchkeeper.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: watchkeeper
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "watchkeeper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "watchkeeper.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "watchkeeper.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* The namespaces that the operator serves, as its flag wants them. */}}
{{- define "watchkeeper.namespaces" -}}
{{- if eq .Values.rbac.scope "cluster" -}}
all
{{- else if eq .Values.rbac.scope "namespaces" -}}
{{- join "," .Values.rbac.namespaces -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide objects of two releases must differ, and names may repeat between namespaces. */}}
{{- define "watchkeeper.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "watchkeeper.fullname" .) -}}
{{- end -}}

{{/* The rules of a generated role, with their comments: as text, since YAML functions drop those. */}}
{{- define "watchkeeper.rules" -}}
{{- required (printf "%s has no rules" .path) (regexFind "(?ms)^rules:\n.*" (.root.Files.Get .path)) | trim -}}
{{- end -}}

{{/* The same without their head, to go on with a list that has begun. */}}
{{- define "watchkeeper.moreRules" -}}
{{- include "watchkeeper.rules" . | trimPrefix "rules:" | trim -}}
{{- end -}}

{{- define "watchkeeper.subject" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "watchkeeper.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* Not empty when the cluster serves the kinds already. */}}
{{- define "watchkeeper.kindsKnown" -}}
{{- if .Capabilities.APIVersions.Has "watchkeeper.dev/v1alpha1/AnalyticsInstance" -}}
yes
{{- end -}}
{{- end -}}
