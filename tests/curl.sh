#!/usr/bin/env bash
# Real curl against the real binary: every example review, the CA checked, the whole answer compared with the file beside
# the example. Only what the clock moves is masked. `tests/curl.sh --write` writes the files anew.
set -uo pipefail
cd "$(dirname "$0")/.."
command -v curl > /dev/null || { echo "curl.sh: curl is needed" >&2; exit 2; }
cargo build --locked --quiet || exit 2
. examples/serve.sh
start_example_server

passed=0
failed=0
verdict() { # name, expected, found
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1)); echo "ok      $1"
  else
    failed=$((failed + 1)); echo "FAILED  $1"; diff <(echo "$2") <(echo "$3") | cut -c1-400
  fi
}
# Times, seconds left, ages, and the two headers that follow from them.
masked() {
  tr -d '\r' | sed -E \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z( \([0-9hms]+\))?/TIME/g' \
    -e 's/"retryAfterSeconds":[0-9]+/"retryAfterSeconds":SECONDS/' \
    -e 's/"state-age-ms":"[0-9]+"/"state-age-ms":"MILLIS"/' \
    -e 's/^content-length: [0-9]+$/content-length: LENGTH/' \
    -e 's/^date: .*$/date: DATE/'
}

for file in examples/reviews/*.json; do
  name="$(basename "$file" .json)"
  expected="examples/reviews/expected/$name.http"
  found="$(post "$file" -i | masked)"
  if [ "${1:-}" = "--write" ]; then echo "$found" > "$expected"; fi
  verdict "$name" "$(cat "$expected")" "$found"
done

for file in "$status"/*.json; do
  for verb in mutate validate; do
    name="$(basename "$file" .json).$verb"
    expected="examples/status/expected/$name.http"
    found="$(post_to "/$verb/workflowexecutions-status" "$file" -i | with_patch | masked)"
    if [ "${1:-}" = "--write" ]; then echo "$found" > "$expected"; fi
    verdict "$name" "$(cat "$expected")" "$found"
  done
done

# What is no verdict.
url="https://$https/validate/workflowexecutions"
allowed=examples/reviews/allowed.json
code() { curl -sS --max-time 10 --cacert "$ca" -o /dev/null -w '%{http_code}' "$@"; }
json=(-H 'Content-Type: application/json')
verdict "405 for GET" 405 "$(code "$url")"
verdict "405 says which method" "allow: POST" "$(curl -sS --cacert "$ca" -i "$url" | tr -d '\r' | grep -i '^allow:')"
verdict "404 for another path" 404 "$(code "${json[@]}" --data-binary "@$allowed" "https://$https/validate/pods")"
verdict "400 for an AdmissionReview to convert" 400 "$(code "${json[@]}" --data-binary "@$allowed" "https://$https/convert")"
verdict "a conversion" '"v1beta1","kind":"ConversionReview","response":{"uid":"u","convertedObjects":[],"result":{"status":"Success"}}}' \
  "$(curl -sS --cacert "$ca" "${json[@]}" --data '{"apiVersion":"apiextensions.k8s.io/v1beta1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"kubernaut.ai/v1beta1","objects":[]}}' "https://$https/convert" | sed 's/^{"apiVersion":"apiextensions.k8s.io\//"/')"
verdict "415 for a form" 415 "$(code --data-binary "@$allowed" "$url")"
verdict "200 for JSON with a parameter" 200 "$(code -H 'Content-Type: application/json; charset=utf-8' --data-binary "@$allowed" "$url")"
verdict "400 for no review" 400 "$(code "${json[@]}" --data '{}' "$url")"
verdict "400 for NaN" 400 "$(sed 's/"dryRun": false/"dryRun": NaN/' "$allowed" | code "${json[@]}" --data-binary @- "$url")"
verdict "400 for bad UTF-8" 400 "$(sed $'s/restart-deployment/\xff/' "$allowed" | code "${json[@]}" --data-binary @- "$url")"
head -c 9000000 /dev/zero | tr '\0' ' ' > "$work/large"
verdict "413 for nine megabytes" 413 "$(code "${json[@]}" --data-binary "@$work/large" "$url")"
verdict "413 for nine megabytes of unknown length" 413 \
  "$(code "${json[@]}" -H 'Transfer-Encoding: chunked' --data-binary "@$work/large" "$url")"
verdict "HTTP/1.1 also where HTTP/2 is offered" 1.1 \
  "$(curl -sS --http2 --cacert "$ca" -o /dev/null -w '%{http_version}' "${json[@]}" --data-binary "@$allowed" "$url")"
verdict "TLS 1.2 is not spoken" "35" "$(curl -sS --tls-max 1.2 --cacert "$ca" -o /dev/null "$url" 2> /dev/null; echo $?)"
verdict "another CA is not trusted" "60" "$(curl -sS -o /dev/null "$url" 2> /dev/null; echo $?)"
verdict "two requests, one connection" "1 0" \
  "$(curl -sS --cacert "$ca" -o /dev/null -o /dev/null -w '%{num_connects} ' "${json[@]}" --data-binary "@$allowed" "$url" "$url" | sed 's/ $//')"
verdict "the process lives" "ok" "$(curl -sS "http://$admin/livez")"
verdict "no body of an object is in the log" "" "$(grep -o 'GRACE_SECONDS\|registry.example.com' "$log" | head -n 1)"

# C-19: a conversion that has begun when the process is told to end is answered, and only then does it end.
conversion='{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u","desiredAPIVersion":"kubernaut.ai/v1beta1","objects":[]}}'
{
  printf '%s' "${conversion:0:60}"
  for _ in $(seq 50); do [ -e "$work/begun" ] && break; sleep 0.1; done
  kill -TERM "$server"
  for _ in $(seq 50); do curl -sS "http://$admin/convertz" | grep -q ending && break; sleep 0.1; done
  printf '%s' "${conversion:60}"
} | curl -sS --max-time 20 --cacert "$ca" -o "$work/drained" -w '%{http_code}' -X POST "${json[@]}" -H 'Expect:' \
  --trace-ascii "$work/trace" -T - "https://$https/convert" > "$work/drained.code" &
uploading=$!
for _ in $(seq 50); do grep -q 'Send data' "$work/trace" 2> /dev/null && break; sleep 0.1; done
touch "$work/begun"
wait "$uploading"
verdict "a conversion under way is finished after SIGTERM" "200 Success" \
  "$(cat "$work/drained.code") $(grep -o 'Success' "$work/drained")"
wait "$server"
verdict "then the process ends well" 0 "$?"
server=""

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
