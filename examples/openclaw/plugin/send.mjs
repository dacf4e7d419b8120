// Sends the reports of a spool and deletes each that was accepted. Any number of these may run at once: a report that two send is
// accepted once, by its completion id.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const TIMEOUT_MS = 10_000;
// What is refused for what it is would be refused again; it is set aside in `refused/`. Anything else stays and is sent again.
const REFUSED = new Set([400, 409, 413, 415, 422]);

/** The completion in a spool file that was written at that time, as the dispatcher wants it. */
export function completionIn(bytes, writtenAtMs) {
  const first = bytes.indexOf(10);
  const second = bytes.indexOf(10, first + 1);
  const said = JSON.parse(bytes.toString("utf8", 0, first));
  const code = Number(bytes.toString("utf8", first + 1, second));
  return { ...said, exit_code: code, finished_at: writtenAtMs / 1000, output: bytes.toString("utf8", second + 1) };
}

/** How many were accepted and how many are left. Never throws because of one report. */
export async function sendAll({ spool, url, tokenFile }) {
  let names;
  try {
    names = readdirSync(spool).filter((name) => name.endsWith(".report"));
  } catch {
    return { sent: 0, left: 0 };
  }
  const headers = { "Content-Type": "application/json" };
  if (names.length && tokenFile) headers.Authorization = `Bearer ${readFileSync(tokenFile, "utf8").trim()}`;
  let sent = 0;
  for (const name of names) {
    const file = join(spool, name);
    let body;
    try {
      body = JSON.stringify(completionIn(readFileSync(file), statSync(file).mtimeMs));
    } catch (error) {
      if (error.code !== "ENOENT") setAside(spool, name); // ENOENT: another sender was faster
      continue;
    }
    let status;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await fetch(new URL("/v1/completions", url), { method: "POST", headers, body, signal, redirect: "error" });
      await response.arrayBuffer();
      status = response.status;
    } catch {
      break; // nobody there: the others would not arrive either
    }
    if (status >= 200 && status < 300) {
      rmSync(file, { force: true });
      sent += 1;
    } else if (REFUSED.has(status)) {
      setAside(spool, name);
    } else if (status !== 403) {
      break; // full, closed to us, or ill: later
    } // 403: the token does not cover this one's agent, which says nothing about the others; it waits for a token that does
  }
  return { sent, left: names.length - sent };
}

function setAside(spool, name) {
  mkdirSync(join(spool, "refused"), { recursive: true, mode: 0o700 });
  try {
    renameSync(join(spool, name), join(spool, "refused", name));
  } catch (error) {
    if (error.code !== "ENOENT") throw error; // another sender was faster
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { WAKE_SPOOL: spool, WAKE_URL: url, WAKE_TOKEN_FILE: tokenFile } = process.env;
  sendAll({ spool, url, tokenFile }); // no `await` here: the gateway loads this file in a way that forbids it
}
