// The shell text that runs a command, keeps the end of its output, and reports its exit code. POSIX sh; bash and zsh read it alike.
// The exec waits for all of it but the sender, so it starts few programs: each is time. bench/reporter.py measures it.
import { randomUUID } from "node:crypto";
import { join } from "node:path";

const MAX_COMMAND_CHARS = 2_000;

/** As one word of a shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * `command`, followed by its report: a synced file in the spool, which a process of its own sends; the exec does not wait for a network.
 * Such a file is a line of JSON, a line with the exit code, then the output as it is; the time of the file is the time of the end.
 *
 * Exit code, output and order of output are the command's own, except that standard error arrives as standard output (the exec tool merges
 * them anyway). A command in a terminal (`pty`) keeps it, and is reported without output.
 */
export function wrapped(command, report, { here, url, tokenFile, spool, pty }) {
  const head = JSON.stringify({ ...report, command: report.command.slice(0, MAX_COMMAND_CHARS) });
  const name = randomUUID();
  const [draft, file] = [quoted(join(spool, `.${name}`)), quoted(join(spool, `${name}.report`))];
  const settings = `WAKE_SPOOL=${quoted(spool)} WAKE_URL=${quoted(url)} WAKE_TOKEN_FILE=${quoted(tokenFile ?? "")}`;
  const send = `${settings} exec ${quoted(process.execPath)} ${quoted(join(here, "send.mjs"))} </dev/null >/dev/null 2>&1`;
  const reporter = [
    `wake_r() {`, // its argument: the file with the output, or nothing
    `(umask 077; [ -d ${quoted(spool)} ] || mkdir -p ${quoted(spool)}`,
    `{ printf '%s\\n%s\\n' ${quoted(head)} "$wake_s"; [ -z "$1" ] || cat "$1"; } >${draft}) &&`,
    `{ sync ${draft} 2>/dev/null || sync; } && mv ${draft} ${file}`,
    `(trap '' HUP; rm -f "$wake_t.p" "$wake_t.o" "$wake_t.s"; ${send}) &`,
    `exit "$wake_s"; }`,
  ];
  // `eval`, so that a mistake in the command is its own and still reported; the subshell keeps its `exit` and its variables to itself.
  const run = '( eval "$wake_c" )';
  const start = [`wake_c=${quoted(command)}`, `wake_t="\${TMPDIR:-/tmp}/wake-${name}"`, ...reporter];
  if (pty) return [...start, `${run}; wake_s=$?; wake_r ''`].join("\n");
  return [
    ...start,
    `mkfifo -m 600 "$wake_t.p" || { ${run}; wake_s=$?; wake_r ''; }`,
    // `tail` holds only the end, however much is printed.
    `(umask 077; exec tail -c 16384 <"$wake_t.p" >"$wake_t.o") &`,
    `{ ${run} 2>&1; echo $? >"$wake_t.s"; } | tee "$wake_t.p"; wait`,
    `read -r wake_s <"$wake_t.s"; wake_r "$wake_t.o"`,
  ].join("\n");
}
