#!/bin/sh
# report.sh SPOOL URL TOKEN_FILE NODE HEAD EXIT_CODE OUTPUT_FILE
# Writes one report to the spool, safely, and lets a process of its own send it: the exec that just ended does not wait for a network.
# A spool file: one line of JSON (HEAD), one line "EXIT_CODE SECONDS", then the output as it is. Few programs are started: each is time.
umask 077
[ -d "$1" ] || mkdir -p "$1" || exit 0
now=$(date +%s)
name=$now-$$
{
  printf '%s\n%s %s\n' "$5" "$6" "$now"
  [ -z "$7" ] || cat "$7"
} >"$1/.$name" || exit 0
sync "$1/.$name" 2>/dev/null || sync
mv "$1/.$name" "$1/$name.report"
( trap '' HUP; WAKE_SPOOL=$1 WAKE_URL=$2 WAKE_TOKEN_FILE=$3 exec "$4" "${0%/*}/send.mjs" </dev/null >/dev/null 2>&1 ) &
