{{- define "ksnap.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "ksnap.labels" -}}
app.kubernetes.io/name: ksnap
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What the server looks agents up by: src/ksnap/node/protocol.py, AGENT_SELECTOR. */}}
{{- define "ksnap.agentSelector" -}}
app.kubernetes.io/name: ksnap
app.kubernetes.io/component: agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ksnap.nodeSetupSelector" -}}
app.kubernetes.io/name: ksnap
app.kubernetes.io/component: node-setup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What Kubernetes would mount into every container of a pod, for the one that needs it. */}}
{{- define "ksnap.token" -}}
projected:
  defaultMode: 0400
  sources:
    - serviceAccountToken: {path: token, expirationSeconds: 3607}
    - configMap:
        name: kube-root-ca.crt
        items: [{key: ca.crt, path: ca.crt}]
    - downwardAPI:
        items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
{{- end -}}

{{- define "ksnap.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "ksnap.criuOptions" -}}
{{- if or .Values.criu.tcpClose .Values.criu.skipInFlight }}true{{ end -}}
{{- end -}}

{{/* Whether the nodes have, or get, what the runtime engine needs. */}}
{{- define "ksnap.runtimeEngine" -}}
{{- if or .Values.nodeSetup.enabled .Values.nodeSetup.byHand }}true{{ end -}}
{{- end -}}

{{/* Whether agents watch pods: where there is no runtime engine, nothing is restored for which they could. */}}
{{- define "ksnap.prefetch" -}}
{{- if and (include "ksnap.runtimeEngine" .) .Values.prefetch.enabled }}true{{ end -}}
{{- end -}}
