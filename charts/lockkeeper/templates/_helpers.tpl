{{- define "lockkeeper.fullname" -}}
{{- /* The name of a Service begins with a letter and has no dots; that of a release may. */ -}}
{{- $name := .Release.Name | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $name -}}{{- $name = printf "%s-%s" .Chart.Name $name -}}
{{- else if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}
{{- end -}}
{{- /* Suffixes such as -metrics must still fit into 63. */ -}}
{{- regexReplaceAll "-+$" (trunc 50 $name) "" -}}
{{- end -}}

{{- define "lockkeeper.selectorLabels" -}}
app.kubernetes.io/name: lockkeeper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lockkeeper.labels" -}}
{{ include "lockkeeper.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lockkeeper.serviceAccount" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
  {{- fail "serviceAccount.name is needed where serviceAccount.create is false: the rights must not go to every pod's default account" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (include "lockkeeper.fullname" .) -}}
{{- end -}}

{{- define "lockkeeper.subject" -}}
- kind: ServiceAccount
  name: {{ include "lockkeeper.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{- define "lockkeeper.executionNamespace" -}}
{{- dig "execution" "namespace" "kubernaut-workflows" (.Values.config | default dict) -}}
{{- end -}}

{{- define "lockkeeper.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.ownSecret" -}}
{{- include "lockkeeper.fullname" . -}}-tls
{{- end -}}

{{- define "lockkeeper.tlsSecret" -}}
{{- if eq .Values.tls.existingSecret (include "lockkeeper.ownSecret" .) -}}
  {{- fail (printf "tls.existingSecret: %s is the Secret this release makes; Helm would delete it as no longer its own. Copy it under another name first." .Values.tls.existingSecret) -}}
{{- end -}}
{{- .Values.tls.existingSecret | default (include "lockkeeper.ownSecret" .) -}}
{{- end -}}

{{- /* The host of webhook.url: [::1]:9443, 127.0.0.1:9443 and name:9443 alike. */ -}}
{{- define "lockkeeper.urlHost" -}}
{{- $host := regexReplaceAll "(:[0-9]+)$" (trimPrefix "https://" .Values.webhook.url) "" | trimAll "[]" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- if and (regexMatch "^[0-9.]+$" $host) (not (regexMatch (printf "^(%s\\.){3}%s$" $octet $octet) $host)) -}}
  {{- fail (printf "webhook.url: %s is neither a name nor an IP address" $host) -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{- define "lockkeeper.hosts" -}}
{{- $service := include "lockkeeper.fullname" . -}}
{{- $hosts := list (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) (printf "%s.%s" $service .Release.Namespace) $service -}}
{{- /* Also where nothing is converted yet: the pair need not be made anew when it is. */ -}}
{{- $hosts = append $hosts (printf "%s.%s.svc" (include "lockkeeper.conversionService" .) .Release.Namespace) -}}
{{- if .Values.webhook.url -}}{{- $hosts = append $hosts (include "lockkeeper.urlHost" .) -}}{{- end -}}
{{- join "," $hosts -}}
{{- end -}}

{{- /* The pair, once for each rendering: the stored one where it is for all these hosts (it may be for more), else a new one. The CA's key is never stored. */ -}}
{{- define "lockkeeper.pair" -}}
{{- if not (hasKey .Values "_pair") -}}
  {{- $hosts := include "lockkeeper.hosts" . -}}
  {{- $stored := lookup "v1" "Secret" .Release.Namespace (include "lockkeeper.tlsSecret" .) -}}
  {{- $for := dig "metadata" "annotations" "lockkeeper.kubernaut.ai/hosts" "" ($stored | default dict) -}}
  {{- $data := dig "data" dict ($stored | default dict) -}}
  {{- $keep := and (index $data "ca.crt") (index $data "tls.crt") (index $data "tls.key") -}}
  {{- range splitList "," $hosts -}}
    {{- if not (has . (splitList "," $for)) -}}{{- $keep = false -}}{{- end -}}
  {{- end -}}
  {{- if $keep -}}
    {{- $_ := set .Values "_pair" (dict "hosts" $for "ca" (index $data "ca.crt") "cert" (index $data "tls.crt") "key" (index $data "tls.key")) -}}
  {{- else -}}
    {{- $names := list -}}{{- $ips := list -}}
    {{- range splitList "," $hosts -}}
      {{- if or (regexMatch "^[0-9.]+$" .) (contains ":" .) -}}{{- $ips = append $ips . -}}{{- else -}}{{- $names = append $names . -}}{{- end -}}
    {{- end -}}
    {{- $ca := genCA "lockkeeper-ca" 3650 -}}
    {{- $cert := genSignedCert "lockkeeper" $ips $names 3650 $ca -}}
    {{- $_ := set .Values "_pair" (dict "hosts" $hosts "ca" ($ca.Cert | b64enc) "cert" ($cert.Cert | b64enc) "key" ($cert.Key | b64enc)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- /* The configuration is read anew when it changes; what is not needs a new process. */ -}}
{{- define "lockkeeper.fixedAtStart" -}}
{{- $leaf := "" -}}
{{- if .Values.tls.existingSecret -}}
  {{- $stored := lookup "v1" "Secret" .Release.Namespace (include "lockkeeper.tlsSecret" .) -}}
  {{- $leaf = dig "data" "tls.crt" "" ($stored | default dict) -}}
{{- else -}}
  {{- include "lockkeeper.pair" . -}}
  {{- $leaf = .Values._pair.cert -}}
{{- end -}}
lockkeeper.kubernaut.ai/pair: {{ $leaf | default (include "lockkeeper.caBundle" .) | sha256sum }}
lockkeeper.kubernaut.ai/limits: {{ dig "limits" dict (.Values.config | default dict) | toJson | sha256sum }}
lockkeeper.kubernaut.ai/loops: {{ pick (include "lockkeeper.config" . | fromYaml) "execution" "loops" | toJson | sha256sum }}
{{- end -}}

{{- /* The configuration file: what config says, over what the profile says. */ -}}
{{- define "lockkeeper.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- if eq .Values.profile "standalone" -}}
  {{- /* Not by merge, to which false is nothing. */ -}}
  {{- $loops := dig "loops" dict $config -}}
  {{- range list "executor" "routingKeeper" -}}
    {{- if not (hasKey $loops .) -}}{{- $_ := set $loops . true -}}{{- end -}}
  {{- end -}}
  {{- $_ := set $config "loops" $loops -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "lockkeeper.executor" -}}
{{- dig "loops" "executor" false (include "lockkeeper.config" . | fromYaml) -}}
{{- end -}}

{{- define "lockkeeper.routingKeeper" -}}
{{- dig "loops" "routingKeeper" false (include "lockkeeper.config" . | fromYaml) -}}
{{- end -}}

{{- define "lockkeeper.caBundle" -}}
{{- if not .Values.tls.existingSecret -}}
  {{- include "lockkeeper.pair" . -}}
  {{- .Values._pair.ca -}}
{{- else if .Values.tls.caBundle -}}
  {{- include "lockkeeper.certificates" (list "tls.caBundle" .Values.tls.caBundle) -}}
{{- else -}}
  {{- $stored := lookup "v1" "Secret" .Release.Namespace (include "lockkeeper.tlsSecret" .) -}}
  {{- $ca := index (dig "data" dict ($stored | default dict)) "ca.crt" | default "" | b64dec -}}
  {{- $where := printf "the Secret %s/%s" .Release.Namespace .Values.tls.existingSecret -}}
  {{- include "lockkeeper.certificates" (list (printf "ca.crt of %s" $where) (required (printf "tls.caBundle is needed: %s has no ca.crt that Helm can read" $where) $ca)) -}}
{{- end -}}
{{- end -}}

{{- /* The API server takes anything as a caBundle and then fails at each call. In: where it comes from, PEM. Out: base64. */ -}}
{{- define "lockkeeper.certificates" -}}
{{- $pem := index . 1 -}}
{{- if or (not (contains "-----BEGIN CERTIFICATE-----" $pem)) (contains "PRIVATE KEY" $pem) -}}
  {{- fail (printf "%s: expected certificates in PEM (-----BEGIN CERTIFICATE-----) and no key" (index . 0)) -}}
{{- end -}}
{{- $pem | b64enc -}}
{{- end -}}

{{- /* What all webhooks share: (list root path). */ -}}
{{- define "lockkeeper.webhook" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
failurePolicy: {{ $root.Values.webhook.failurePolicy }}
# A version that no rule names is converted to one that a rule does, and asked of: no version is a way around.
matchPolicy: Equivalent
sideEffects: None
admissionReviewVersions: [v1]
timeoutSeconds: {{ $root.Values.webhook.timeoutSeconds }}
clientConfig: {{- include "lockkeeper.client" (list $root (include "lockkeeper.fullname" $root) $path) | nindent 2 }}
{{- end }}

{{- /* Where the API server calls: (list root service path). */ -}}
{{- define "lockkeeper.client" -}}
{{- $root := index . 0 -}}
{{- $path := index . 2 -}}
{{- if $root.Values.webhook.url -}}
url: {{ $root.Values.webhook.url }}{{ $path }}
{{- else -}}
service:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  path: {{ $path }}
  port: 443
{{- end }}
caBundle: {{ include "lockkeeper.caBundle" $root }}
{{- end }}

{{- define "lockkeeper.conversionService" -}}
{{- include "lockkeeper.fullname" . -}}-conversion
{{- end -}}
