#!/usr/bin/env bash
# The chart without a cluster: lint, what it renders, what it refuses. HELM names the binary.
set -uo pipefail
cd "$(dirname "$0")/.."
helm="${HELM:-helm}"
command -v "$helm" >/dev/null || { echo "chart.sh: no helm at '$helm'; set HELM, or run make test" >&2; exit 2; }
chart=charts/lockkeeper
passed=0
failed=0

check() { # name, command…
  local name="$1"
  shift
  if said="$("$@" 2>&1)"; then
    passed=$((passed + 1)); echo "ok      $name"
  else
    failed=$((failed + 1)); printf 'FAILED  %s\n%s\n' "$name" "$said" | head -n 20
  fi
}
render() { "$helm" template release "$chart" --namespace gate "$@"; }
one() { local file="$1"; shift; render --show-only "templates/$file" "$@"; }
says() { # text, then a command whose output must hold it
  local text="$1" said; shift
  said="$("$@")" || return 1
  grep -qF -- "$text" <<<"$said" || { echo "$said"; return 1; }
}
silent() { # pattern, then a command whose output must not match it
  local pattern="$1" said; shift
  said="$("$@")" || return 1
  ! grep -qE -- "$pattern" <<<"$said"
}
refuses() { # text, then values that must be refused with it
  local text="$1" said; shift
  if said="$(render "$@" 2>&1)"; then echo "accepted: $*"; return 1; fi
  grep -qF -- "$text" <<<"$said" || { echo "$said"; return 1; }
}
line() { one deployment.yaml "${@:2}" | grep -F -- "$1"; } # text of the line, then values
differs() { local plain; plain="$(line "$1")" && [ "$plain" != "$(line "$1" --set "$2")" ]; }
same() { local plain; plain="$(line "$1")" && [ "$plain" = "$(line "$1" --set "$2")" ]; }
named() { "$helm" template "$1" "$chart" --namespace gate --show-only "templates/$2"; } # release, file
a53="$(printf 'a%.0s' {1..53})"
a50="${a53:0:50}"
rules() { one webhook.yaml | grep -A5 'rules:'; }
rights() { one rbac.yaml | sed -n '/^rules:/,/^---/p'; }

own=(--set tls.existingSecret=mine --set-string "tls.caBundle=-----BEGIN CERTIFICATE-----")

check "lint" "$helm" lint --strict "$chart"
check "one resource is registered" says "resources: [workflowexecutions]" rules
check "its status is registered twice" test "$(rules | grep -c 'resources: \[workflowexecutions/status\]')" = 2
check "the object itself too" test "$(rules | grep -c 'resources: \[workflowexecutions\]')" = 2
check "and nothing else" test "$(rules | grep -c 'resources:')" = 4
check "all but the gate are asked only of what concerns them" test "$(one webhook.yaml | grep -c 'matchConditions:')" = 3
check "a failure is classified again after others" says "reinvocationPolicy: IfNeeded" one webhook.yaml
check "the guard is called" says "path: /validate/workflowexecutions-status" one webhook.yaml
check "who asks for a clearance is signed" says "path: /mutate/workflowexecutions" one webhook.yaml
check "the amender is called" says "path: /mutate/workflowexecutions-status" one webhook.yaml
check "both versions are registered" test "$(rules | grep -c 'apiVersions: \[v1alpha1, v1beta1\]')" = 4
check "and any other is converted to one of them" test "$(one webhook.yaml | grep -c 'matchPolicy: Equivalent')" = 4
check "what a condition compares has its name of v1beta1" test "$(one webhook.yaml | grep -cF 'object.?status.?failure != oldObject.?status.?failure')" = 2
check "and its name of v1alpha1" test "$(one webhook.yaml | grep -cF 'object.?status.?failureDetails != oldObject.?status.?failureDetails')" = 2
check "what is nameless is looked for under both" says 'failureDetails.?reason.or(object.?status.?failure.?reason)' one webhook.yaml
check "no wildcard" silent '\*' rules
check "no selector is a way around" silent 'Selector' one webhook.yaml
check "failurePolicy is said" says "failurePolicy: Fail" one webhook.yaml
check "no side effects" says "sideEffects: None" one webhook.yaml
check "rights: Kubernaut's two kinds" says "resources: [remediationrequests, workflowexecutions]" rights
check "rights: Tekton's runs, and no more of Tekton's" says "resources: [pipelineruns, taskruns]" rights
check "rights: a clearance is all that is written, and the word of it" test "$(rights | grep -E 'verbs: .*(create|patch|update|delete)' | sort | uniq -c | tr -s ' ' | tr '\n' ';')" = " 2 verbs: [create]; 1 verbs: [get, update]; 1 verbs: [patch];"
check "rights: nobody's Pods are read" silent 'pods' rights
check "standalone: Jobs and their Pods belong there too" test "$(one rbac.yaml --set profile=standalone | grep -cE 'resources: \[(jobs|pods)\]')" = 2
check "rights: no run is made" silent 'pipelineruns\]' rights
check "standalone: runs are made where they belong" says "namespace: there" one rbac.yaml --set profile=standalone,config.execution.namespace=there
check "standalone: and nowhere else" test "$(one rbac.yaml --set profile=standalone | grep -cF 'verbs: [get, create, delete]')" = 1
check "standalone: requests are told" says "resources: [remediationrequests/status]" one rbac.yaml --set profile=standalone
check "standalone: executions are held until their run is gone" says "verbs: [get, patch]" one rbac.yaml --set profile=standalone
check "standalone: both loops" says "executor: true" one configmap.yaml --set profile=standalone
check "standalone: what config says goes before it" says "routingKeeper: false" one configmap.yaml --set profile=standalone,config.loops.routingKeeper=false
check "standalone: and needs no rights for what is off" silent 'remediationrequests/status' one rbac.yaml --set profile=standalone,config.loops.routingKeeper=false
check "the executor asks for requests by itself" says "resources: [remediationrequests]" one rbac.yaml --set config.loops.executor=true
check "rights: nobody asks for one request" silent 'resources: \[remediationrequests\]' rights
check "a loop that is switched on by itself has its rights" says "remediationrequests/status" one rbac.yaml --set config.loops.routingKeeper=true
check "loops are fixed at start" differs "kubernaut.ai/loops:" profile=standalone
check "the Service is called" says "path: /validate/workflowexecutions" one webhook.yaml
check "a url is called" says "url: https://127.0.0.1:9443/validate/workflowexecutions" one webhook.yaml --set webhook.url=https://127.0.0.1:9443
check "the pair is for the url's host" says "gate.svc,127.0.0.1" one secret.yaml --set webhook.url=https://127.0.0.1:9443
check "the pair is for an IPv6 host" says "gate.svc,::1" one secret.yaml --set 'webhook.url=https://[::1]:9443'
check "the CA's key is not stored" silent 'ca\.key' one secret.yaml
check "a Secret of one's own: none is rendered" silent 'kind: Secret' render "${own[@]}"
check "a Secret of one's own is mounted" says "secretName: mine" one deployment.yaml "${own[@]}"
check "a Secret of one's own needs its CA" refuses "tls.caBundle is needed" --set tls.existingSecret=mine
check "CRDs are installed and kept" says "helm.sh/resource-policy: keep" one crds.yaml
check "two CRDs" test "$(one crds.yaml | grep -c '^kind: CustomResourceDefinition')" = 2
check "both versions are served" test "$(one crds.yaml | grep -c '^    served: true')" = 4
check "v1beta1 is stored" test "$(one crds.yaml | grep -A1 '^    served: true' | grep -c 'storage: true')" = 2
check "conversion: by a Service of its own" test "$(one crds.yaml | grep -A4 'service:' | grep -cE 'name: release-lockkeeper-conversion|namespace: gate|path: /convert|port: 443')" = 8
check "conversion: that Service publishes pods that are not ready" test "$(one services.yaml | grep -B12 'publishNotReadyAddresses: true' | grep -c 'name: release-lockkeeper-conversion$')" = 1
check "and no other does" test "$(one services.yaml | grep -c 'publishNotReadyAddresses: true')" = 1
check "conversion: the pair is for that Service" says "release-lockkeeper-conversion.gate.svc" one secret.yaml
check "conversion: the CA is the webhooks'" test "$(render | grep -oE 'caBundle: .*' | sort -u | wc -l)" = 1
check "conversion: the CA is said for each" test "$(render | grep -c 'caBundle: ')" = 6
check "conversion: by the url" test "$(one crds.yaml --set webhook.url=https://127.0.0.1:9443 | grep -c 'url: https://127.0.0.1:9443/convert$')" = 2
check "conversion: the url and no Service" silent 'service:' one crds.yaml --set webhook.url=https://127.0.0.1:9443
check "conversion: no placeholder is left" silent '(name|namespace): (service|namespace)$' render
check "v1alpha1 alone: two CRDs" test "$(one crds.yaml --set crds.conversion=false | grep -c '^kind: CustomResourceDefinition')" = 2
check "v1alpha1 alone: kept" says "helm.sh/resource-policy: keep" one crds.yaml --set crds.conversion=false
check "v1alpha1 alone: nothing of the other version" silent '(conversion:|name: v1beta1$|/convert)' one crds.yaml --set crds.conversion=false
check "v1alpha1 alone: no Service for conversion" silent 'lockkeeper-conversion$' render --set crds.conversion=false
check "uninstall: a Job before it leaves one version alone" says "args: [migrate, --to=v1alpha1, --alone]" one uninstall.yaml
check "uninstall: the version is chosen" says "args: [migrate, --to=v1beta1, --alone]" one uninstall.yaml --set crds.afterUninstall=v1beta1
check "uninstall: all of it is a hook" test "$(one uninstall.yaml | grep -c 'helm.sh/hook: pre-delete')" = 4
check "uninstall: its rights go with it" test "$(one uninstall.yaml | grep -c 'hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed')" = 3
check "uninstall: two CRDs by name, no wildcard" silent '\*' one uninstall.yaml
check "uninstall: no Service selects its pod" silent 'app.kubernetes.io/name: lockkeeper,' one uninstall.yaml
check "uninstall: no Job where none is wanted" silent 'kind: Job' render --set crds.afterUninstall=
check "uninstall: no Job where nobody converts" silent 'kind: Job' render --set crds.conversion=false
check "uninstall: no Job where no CRD is touched" silent 'kind: Job' render --set crds.install=false
check "uninstall: no Job without pods" silent 'kind: Job' render --set replicas=0,webhook.url=https://gate.example
check "refused: a version to leave" refuses "afterUninstall" --set crds.afterUninstall=v1
check "CRDs are left alone" silent '(kind: CustomResourceDefinition|/convert|publishNotReadyAddresses)' render --set crds.install=false
check "the configuration is handed on" says "threshold: 7" one configmap.yaml --set config.checks.consecutiveFailures.threshold=7
check "a digest wins" says "image: r/l@sha256:$(printf '%064d' 1)" one deployment.yaml --set "image.repository=r/l,image.tag=x,image.digest=sha256:$(printf '%064d' 1)"
check "a pod that goes listens on" says "sleep: {seconds: 12}" one deployment.yaml
check "and has the time to finish" says "terminationGracePeriodSeconds: 45" one deployment.yaml
check "new limits are a new process" differs 'ai/limits:' config.limits.connections=7
check "a new threshold is not" same 'ai/limits:' config.checks.exhaustedRetries.max=7
check "an annotation of ours is not overwritten" silent 'mine' one deployment.yaml --set-string 'podAnnotations.lockkeeper\.kubernaut\.ai/pair=mine'
check "no budget for one pod" silent 'PodDisruptionBudget' render --set replicas=1
check "a long release name fits" silent '[a-z0-9-]{64,}$' named "$a53" services.yaml
check "a long release name: the pair is for the short Service" says "$a50.gate.svc," named "$a53" secret.yaml
check "a long release name: the short Service is called" says "name: $a50" named "$a53" webhook.yaml
check "a long release name: the conversion's Service is called" says "name: $a50-conversion" named "$a53" crds.yaml
check "a cut leaves no dash" says "name: ${a53:0:47}-metrics" named "${a53:0:47}---bbb" services.yaml
check "dots in the release name" says "name: my-release-lockkeeper-metrics" named my.release services.yaml
check "a digit first in the release name" says "name: lockkeeper-1st-metrics" named 1st services.yaml
check "refused: timeoutSeconds 31" refuses "timeoutSeconds" --set webhook.timeoutSeconds=31
check "refused: an unknown key" refuses "'mode' not allowed" --set mode=gate
check "refused: an unknown setting" refuses "'override' not allowed" --set config.override.enabled=true
check "refused: a word for crds.conversion" refuses "conversion" --set crds.conversion=maybe
check "refused: a failurePolicy" refuses "failurePolicy" --set webhook.failurePolicy=Maybe
check "refused: a duration" refuses "does not match pattern" --set config.staleness.max=soon
check "refused: a CA that is none" refuses "tls.caBundle: expected certificates in PEM" --set tls.existingSecret=mine --set tls.caBundle=LS0tLS1CRUdJTg==
check "refused: a CA with its key" refuses "and no key" "${own[@]}" --set-string "tls.caBundle=-----BEGIN CERTIFICATE----- -----BEGIN PRIVATE"" KEY-----"
check "refused: a CA for nothing" refuses "goes with tls.existingSecret" --set tls.caBundle=PEM
check "refused: the chart's own Secret as one's own" refuses "Helm would delete it" --set tls.existingSecret=release-lockkeeper-tls
check "refused: a duration out of order" refuses "does not match pattern" --set config.staleness.max=30m1h
check "taken: durations of Go" says "max: 1h30m" one configmap.yaml --set config.staleness.max=1h30m,config.checks.recentlyRemediated.cooldown=1.5h
check "refused: nobody to answer" refuses "replicas: 0" --set replicas=0
check "taken: nobody but the url's server" says "replicas: 0" one deployment.yaml --set replicas=0,webhook.url=https://gate.example
check "refused: a resource key" refuses "'limit' not allowed" --set resources.limit.cpu=1
check "refused: a pull secret's key" refuses "imagePullSecrets" --set 'imagePullSecrets[0].nme=x'
check "refused: no IP address" refuses "neither a name nor an IP" --set webhook.url=https://300.1.2.3
check "refused: a url with a path" refuses "url" --set webhook.url=https://127.0.0.1/x
check "refused: a threshold too large" refuses "threshold" --set config.checks.consecutiveFailures.threshold=4294967296
check "refused: rights for the default account" refuses "serviceAccount.name is needed" --set serviceAccount.create=false
check "refused: plain http" refuses "url" --set webhook.url=http://127.0.0.1

# Every value is in the table, and the table names no other.
documented() { grep -oE '^\| `[^|]*' "$chart/README.md" | grep -oE '`[a-zA-Z.]+`' | tr -d '`' | sort; }
offered() {
  awk '/^[a-zA-Z]/ { if (section != "" && !inner) print section; section = $1; sub(":", "", section); inner = section == "resources" }
       /^  [a-zA-Z]/ && section != "resources" { key = $1; sub(":", "", key); print section "." key; inner = 1 }
       /^resources:/ { print "resources" } END { if (!inner) print section }' "$chart/values.yaml" | sort
}
check "the README's table is complete" diff <(offered) <(documented)

# null takes a key away. Where a default is more than empty that is another chart than anybody asked for.
unpaired() { render "$@" | sed -E 's#(caBundle|ca\.crt|tls\.crt|tls\.key|ai/pair): .*#\1: PAIR#'; }
nulls() { # keys; those that are neither refused by their name nor as good as their default
  local key said plain; plain="$(unpaired)"
  for key in "$@"; do
    if said="$(unpaired --set "$key=null" 2>&1)"; then
      [ "$said" = "$plain" ] || echo "$key: another chart"
    else
      grep -qE "(missing property '${key##*.}'|got null|value must be one of)" <<<"$said" || echo "$key: $said"
    fi
  done
}
sections() { offered | sed -n 's/\..*//p' | sort -u; }
none() { local said; said="$("$@")"; [ -z "$said" ] || { echo "$said"; return 1; }; }
check "null: what is offered is refused, or is its empty default" none nulls $(offered) $(sections)
check "null: a setting is refused" none nulls config.checks config.limits.connections config.staleness.max config.checks.resourceBusy.mode
for key in crds.install crds.conversion crds.afterUninstall webhook.failurePolicy webhook.timeoutSeconds replicas image.pullPolicy resources serviceAccount.create crds webhook tls image; do
  check "null: $key is refused" refuses "missing property '${key##*.}'" --set "$key=null"
done
check "refused: a port too large" refuses "webhook.url: a port is 1 to 65535, not 99999" --set webhook.url=https://127.0.0.1:99999
check "refused: port 0" refuses "webhook.url: a port is 1 to 65535, not 0" --set webhook.url=https://127.0.0.1:0
check "taken: an IPv6 address without a port" says "url: https://[fd00::7]/validate" one webhook.yaml --set 'webhook.url=https://[fd00::7]'
check "taken: the last port" says "url: https://127.0.0.1:65535/validate" one webhook.yaml --set webhook.url=https://127.0.0.1:65535

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
