// The shell text that runs a command, keeps the end of its output, and reports its exit code. POSIX sh; bash and zsh read it alike.
import { join } from "node:path";

const MAX_COMMAND_CHARS = 2_000;

/** As one word of a shell. */
export function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * `command`, followed by its report. Exit code, output and order of output are its own, except that standard error arrives as standard output
 * (the exec tool merges them anyway). A command in a terminal (`pty`) keeps it, and is reported without output.
 */
export function wrapped(command, report, { here, url, tokenFile, spool, pty }) {
  const head = JSON.stringify({ ...report, command: report.command.slice(0, MAX_COMMAND_CHARS) });
  const reporter = [`sh ${quoted(join(here, "report.sh"))}`, quoted(spool), quoted(url), quoted(tokenFile ?? ""), quoted(process.execPath), quoted(head)];
  // `eval`, so that a mistake in the command is its own and still reported; the subshell keeps its `exit` and its variables to itself.
  const run = '( eval "$wake_c" )';
  const bare = `${run}; wake_s=$?; ${reporter.join(" ")} "$wake_s" ''; exit "$wake_s"`;
  if (pty) return `wake_c=${quoted(command)}; ${bare}`;
  return [
    `wake_c=${quoted(command)}`,
    `wake_d=$(mktemp -d) && mkfifo "$wake_d/p" || { ${bare}; }`,
    // `tail` holds only the end, however much is printed.
    `tail -c 16384 <"$wake_d/p" >"$wake_d/o" &`,
    `{ ${run} 2>&1; echo $? >"$wake_d/s"; } | tee "$wake_d/p"; wait`,
    `wake_s=$(cat "$wake_d/s"); ${reporter.join(" ")} "$wake_s" "$wake_d/o"; rm -rf "$wake_d"; exit "$wake_s"`,
  ].join("\n");
}
