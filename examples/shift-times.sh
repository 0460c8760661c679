#!/bin/sh
# The example world stands at 2026-01-05T10:02:33Z. This copies it to another folder with every time moved, so that there
# it is now: backoff windows are open, cooldowns still run.
#
#   examples/shift-times.sh FROM TO [NOW]
#
# NOW is in seconds since 1970, for folders that are to stand at one and the same moment.
set -eu
from="${1:?usage: shift-times.sh FROM TO [NOW]}"
to="${2:?usage: shift-times.sh FROM TO [NOW]}"
now="${3:-$(date -u +%s)}"
story=1767607353
mkdir -p "$to"
for file in "$from"/*.yaml "$from"/*.json; do
  [ -e "$file" ] || continue
  awk -v shift="$((now - story))" '
    # Days since 1970 of a civil date, and back, by counting years from March (any awk, no locale, no time zone).
    function days(y, m, d) { y -= m <= 2; m += m > 2 ? -3 : 9; return int(y / 400) * 146097 + (y % 400) * 365 + int(y % 400 / 4) - int(y % 400 / 100) + int((153 * m + 2) / 5) + d - 719469 }
    function civil(z,   era, doe, yoe, doy, mp, d, m) {
      z += 719468; era = int(z / 146097); doe = z - era * 146097
      yoe = int((doe - int(doe / 1460) + int(doe / 36524) - int(doe / 146096)) / 365)
      doy = doe - (365 * yoe + int(yoe / 4) - int(yoe / 100)); mp = int((5 * doy + 2) / 153)
      d = doy - int((153 * mp + 2) / 5) + 1; m = mp < 10 ? mp + 3 : mp - 9
      return sprintf("%04d-%02d-%02d", yoe + era * 400 + (m <= 2), m, d)
    }
    function moved(t,   s) {
      s = days(substr(t, 1, 4) + 0, substr(t, 6, 2) + 0, substr(t, 9, 2) + 0) * 86400
      s += substr(t, 12, 2) * 3600 + substr(t, 15, 2) * 60 + substr(t, 18, 2) + shift
      return civil(int(s / 86400)) sprintf("T%02d:%02d:%02dZ", int(s % 86400 / 3600), int(s % 3600 / 60), s % 60)
    }
    {
      rest = $0; line = ""
      while (match(rest, /[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z/)) {
        line = line substr(rest, 1, RSTART - 1) moved(substr(rest, RSTART, RLENGTH)); rest = substr(rest, RSTART + RLENGTH)
      }
      print line rest
    }' "$file" > "$to/${file##*/}"
done
