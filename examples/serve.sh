#!/usr/bin/env bash
# Sourced by demo.sh and tests/curl.sh: a lockkeeper with the example world at the real clock, on free ports, ended with
# the script that started it.
#
#   start_example_server     sets $https, $admin, $ca, $state, $status, $log

examples="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
binary="${LOCKKEEPER:-${CARGO_TARGET_DIR:-$examples/../target}/debug/lockkeeper}"

start_example_server() {
  work="$(mktemp -d)"
  server=""
  trap 'end_example_server' EXIT
  trap 'exit 130' INT TERM
  state="$work/state" status="$work/status" log="$work/log" ca="$work/certs/ca.crt"
  local now
  now="$(date -u +%s)"
  "$examples/shift-times.sh" "$examples/state" "$state" "$now"
  "$examples/shift-times.sh" "$examples/status" "$status" "$now"
  "$binary" serve --state "$state" --tls-dir "$work/certs" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
    --log-format json 2> "$log" &
  server=$!
  local tries=0
  until https="$(address https)" && admin="$(address admin)" && [ -n "$https" ] \
    && curl -fsS --max-time 2 -o /dev/null "http://$admin/readyz" 2> /dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2> /dev/null; then
      echo "lockkeeper did not become ready; its log:" >&2
      cat "$log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

address() { sed -n "s/.*\"message\":\"serving\".*\"$1\":\"\([^\"]*\)\".*/\1/p" "$log" | head -n 1; }

end_example_server() {
  if [ -n "$server" ]; then
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  fi
  rm -rf "$work"
}

# post FILE [curl arguments]: sends a review to the gate, prints what curl prints.
post() { post_to /validate/workflowexecutions "$@"; }

# post_to PATH FILE [curl arguments]: the same for another of the server's paths.
post_to() {
  local path="$1" file="$2"
  shift 2
  curl -sS --max-time 10 --cacert "$ca" -H 'Content-Type: application/json' --data-binary "@$file" "$@" \
    "https://$https$path?timeout=5s"
}

# with_patch: the answer on standard input, its patch as the JSON that it is.
with_patch() {
  local answer patch
  answer="$(cat)"
  patch="$(sed -n 's/.*"patch":"\([^"]*\)".*/\1/p' <<< "$answer")"
  if [ -z "$patch" ]; then echo "$answer"; return; fi
  printf '%s%s%s\n' "${answer%%\"patch\":*}" "\"patch\":$(base64 -d <<< "$patch")" "${answer##*\"$patch\"}"
}
