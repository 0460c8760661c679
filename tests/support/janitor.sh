# Removes a folder when this script's stdin closes (see supervise.sh) and no supervised program is left in it.
# usage: janitor.sh FOLDER
read -r _
tries=600
while [ -e "$1" ] && [ "$tries" -gt 0 ]; do
  # The last tries come without asking: a pid file may be left over.
  if [ "$tries" -lt 20 ] || [ -z "$(ls "$1/run" 2>/dev/null)" ]; then
    rm -rf "$1" 2>/dev/null
  fi
  [ -e "$1" ] && sleep 0.1
  tries=$((tries - 1))
done
