// Reports finished commands to the Wake Dispatcher from Node. No dependencies, Node 18 or newer; types in wake-client.d.mts.
//
//     import { WakeClient } from "./wake-client.mjs";
//     const wake = new WakeClient({ url: "http://127.0.0.1:8377", token: process.env.WAKE_INGRESS_TOKEN, spool: "wake-spool" });
//     await wake.report({ session_key: "agent:ops:main", exit_code: 0, output: "40 passed" });
//
// `report` returns when the completion is safe: accepted by the dispatcher, or on disk in the spool, which `flush` and every later
// `report` send again. So a dispatcher that is away costs nothing but time.
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const MAX_OUTPUT_BYTES = 64 * 1024;
// Refused for what it is, and so for ever. Any other answer, and none, may become better.
const REFUSED = new Set([400, 409, 413, 415, 422]);

/** A completion that the dispatcher will never take. `problem` is its answer. */
export class Refused extends Error {
  constructor(status, problem) {
    super(`the dispatcher refused the completion (HTTP ${status}): ${problem}`);
    this.name = "Refused";
    this.status = status;
    this.problem = problem;
  }
}

export class WakeClient {
  #url;
  #token;
  #spool;
  #timeoutMs;

  /** `spool` is a folder for this program; it is made when it is needed. */
  constructor({ url, token, spool, timeoutMs = 10_000 }) {
    this.#url = new URL("/v1/completions", url);
    this.#token = token;
    this.#spool = spool;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Reports one finished command. Throws Refused for a completion that would never be accepted; anything else that goes wrong leaves it in
   * the spool. The completion id is made here, so that a repeated report is known as one.
   */
  async report(completion) {
    const whole = { completion_id: randomUUID(), finished_at: Date.now() / 1000, ...completion };
    if (whole.output !== undefined) whole.output = endOf(whole.output);
    const file = this.#keep(whole);
    const answer = await this.#send(file);
    if (answer === "accepted") {
      await this.flush();
      return { completion_id: whole.completion_id, state: "accepted" };
    }
    if (answer instanceof Refused) throw answer;
    return { completion_id: whole.completion_id, state: "spooled" };
  }

  /** Sends what lies in the spool, oldest first, until nothing can be sent; what the token does not cover waits for another one. Says how many were accepted and how many are left. */
  async flush() {
    let sent = 0;
    const files = this.#spooled();
    for (const file of files) {
      const answer = await this.#send(file);
      if (answer === "later") break;
      if (answer === "accepted") sent += 1;
    }
    return { sent, left: this.#spooled().length };
  }

  #spooled() {
    try {
      return readdirSync(this.#spool).filter((name) => name.endsWith(".json")).sort().map((name) => join(this.#spool, name));
    } catch {
      return [];
    }
  }

  #keep(completion) {
    mkdirSync(this.#spool, { recursive: true, mode: 0o700 });
    const name = `${Date.now()}-${process.pid}-${randomUUID()}`;
    const draft = join(this.#spool, `.${name}`);
    const opened = openSync(draft, "wx", 0o600);
    writeSync(opened, JSON.stringify(completion));
    fsyncSync(opened);
    closeSync(opened);
    const file = join(this.#spool, `${name}.json`);
    renameSync(draft, file);
    return file;
  }

  async #send(file) {
    let body;
    try {
      body = readFileSync(file);
    } catch {
      return "accepted"; // another flush was faster
    }
    const headers = { "Content-Type": "application/json", ...(this.#token && { Authorization: `Bearer ${this.#token}` }) };
    let response, said;
    try {
      response = await fetch(this.#url, { method: "POST", headers, body, redirect: "error", signal: AbortSignal.timeout(this.#timeoutMs) });
      said = await response.text();
    } catch {
      return "later";
    }
    if (response.ok) {
      rmSync(file, { force: true });
      return "accepted";
    }
    if (response.status === 403) return "forbidden"; // for the agent of this one; a token that covers it may come
    if (!REFUSED.has(response.status)) return "later";
    mkdirSync(join(this.#spool, "refused"), { recursive: true, mode: 0o700 });
    renameSync(file, join(this.#spool, "refused", file.split(/[\\/]/).pop()));
    return new Refused(response.status, said.slice(0, 1_000));
  }
}

/** The last 64 KiB, cut between characters. */
function endOf(text) {
  const bytes = Buffer.from(text);
  let start = Math.max(0, bytes.length - MAX_OUTPUT_BYTES);
  while (start < bytes.length && (bytes[start] & 0xc0) === 0x80) start += 1;
  return bytes.toString("utf8", start);
}
