#!/usr/bin/env bash
# Serves HTTPS with the example world, sends every example review by curl, shows the verdicts, ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v curl > /dev/null || { echo "demo: curl is needed" >&2; exit 2; }

echo "Building lockkeeper (minutes the first time, seconds after) …"
cargo build --locked --quiet
. examples/serve.sh
echo "Starting it with examples/state, its times moved so that its story is now …"
start_example_server
echo "Serving on https://$https; certificate checked against a development CA made just now."
echo
# message_of ANSWER: what a refusal says.
message_of() { sed -n "s/.*\"message\":\"\([^\"]*\)\",\"reason\":\"\(Forbidden\|Invalid\)\".*/\1/p" <<< "${1//\\\"/\'}"; }

echo "Every review in examples/reviews, sent by curl:"
refused=0
total=0
for file in examples/reviews/*.json; do
  answer="$(post "$file")"
  total=$((total + 1))
  name="$(basename "$file" .json)"
  if [[ "$answer" == *'"allowed":true'* ]]; then
    printf '  %-30s allowed\n' "$name"
  else
    refused=$((refused + 1))
    # The reason, what holds it, and its end; the rest of the message is who and which command explains it.
    message="$(message_of "$answer")"
    message="${message%%; see: *}"
    printf '  %-30s %s\n' "$name" "${message%%; held by *}"
  fi
done
echo
echo "$total sent, $refused refused. One of them, asked why (a refusal names this command):"
echo '  $ lockkeeper explain payments/rr-api-8 --target payments/Deployment/api'
"$binary" explain payments/rr-api-8 --target payments/Deployment/api --state "$state" | sed 's/^/  /' || true
echo
echo "Writes of a status in examples/status, sent to the amender and to the guard:"
for file in "$status"/*.json; do
  name="$(basename "$file" .json)"
  amended="$(post_to /mutate/workflowexecutions-status "$file" | with_patch)"
  guarded="$(post_to /validate/workflowexecutions-status "$file")"
  warning="$(sed -n 's/.*"warnings":\["\([^"]*\)"\].*/\1/p' <<< "$amended")"
  signed="$(sed -n 's/.*clearedBy","value":"\([^"]*\)".*/signed by \1/p' <<< "$amended")"
  # The API server asks the guard about what the amender made of it.
  refusal="$(message_of "$guarded")"
  if [ -n "$signed" ] && [[ "$refusal" == *clearedBy* ]]; then refusal=""; fi
  printf '  %-30s %s\n' "$name" "${refusal:-${warning:-${signed:-passes}}}"
done
echo
echo "Why the run of failed-by-memory failed:"
echo '  $ lockkeeper classify examples/state/ledger.yaml'
"$binary" classify examples/state/ledger.yaml | sed 's/^/  /'
echo
echo "Ready on its admin port:"
curl -sS --max-time 5 "http://$admin/readyz" | sed 's/^/  /'
[ "$total" -gt 0 ] && [ "$refused" -gt 0 ]
