# Runs a program and ends it when this script's stdin closes. The test process holds the other end and never writes, so
# that happens however it ends, SIGKILL included. Exits with the program's code.
# usage: supervise.sh PIDFILE LOG GRACE-SECONDS PROGRAM ARGUMENT...
pidfile=$1 log=$2 grace=$3
shift 3
# The shell gives background commands /dev/null as stdin, so the lifeline moves to 3.
exec 3<&0 </dev/null
"$@" >>"$log" 2>&1 3<&- &
child=$!
echo "$child" >"$pidfile"
echo "$child"
# Shells announce a killed child on stderr.
exec >/dev/null 2>&1
(
  read -r _ <&3
  left=$((grace * 10))
  [ "$left" -gt 0 ] && kill -TERM "$child"
  while [ "$left" -gt 0 ] && kill -0 "$child"; do
    sleep 0.1
    left=$((left - 1))
  done
  kill -KILL "$child"
) &
watcher=$!
wait "$child"
code=$?
# At once, so that the watcher never kills a later process that got the same number.
kill "$watcher"
rm -f "$pidfile"
exit "$code"
