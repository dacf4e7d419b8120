#!/bin/sh
# report.sh SPOOL URL TOKEN_FILE NODE HEAD EXIT_CODE OUTPUT_FILE
# Writes one report to the spool, safely, and lets a process of its own send it: the exec that just ended does not wait for a network.
# A spool file: one line of JSON (HEAD), one line "EXIT_CODE SECONDS", then the output as it is.
set -u
umask 077
mkdir -p "$1" || exit 0
draft=$(mktemp "$1/.draft.XXXXXX") || exit 0
{
  printf '%s\n%s %s\n' "$5" "$6" "$(date +%s)"
  [ -n "$7" ] && cat "$7"
} >"$draft"
sync "$draft" 2>/dev/null || sync
mv "$draft" "$1/${draft##*.draft.}.report"
here=$(dirname "$0")
WAKE_SPOOL=$1 WAKE_URL=$2 WAKE_TOKEN_FILE=$3 nohup "$4" "$here/send.mjs" </dev/null >/dev/null 2>&1 &
