#!/usr/bin/env node
// A receiver of heartbeats for the `http` runner. No dependencies, Node 18 or newer: copy it, and write your own `turn`.
//
//     WAKE_SECRET=whsec_... PORT=8787 JOURNAL=turns.jsonl node receiver.mjs
//
// It answers only what is signed and fresh, refuses a token older than the newest it saw of that agent, and never takes one turn twice:
// the same batch gets the answer that it got before, also after a restart.
import { createHmac, timingSafeEqual } from "node:crypto";
import { existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { createServer } from "node:http";

const TOLERANCE_S = 300;
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** One turn of the agent; replace it. What it throws makes the same batch come again. Texts of events come from commands: untrusted. */
async function turn(request) {
  for (const event of request.events) console.log(`${request.agent_id}: ${event.text}`);
  return { acted: true, note: `${request.completion_ids.length} result(s) seen` };
}

// What was seen and answered, in memory and in a file that is read at the start; so a restart forgets nothing.
const newest = new Map();
const answers = new Map();
const running = new Set();
const journalName = process.env.JOURNAL ?? "turns.jsonl";
if (existsSync(journalName)) {
  const text = readFileSync(journalName, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  truncateSync(journalName, Buffer.byteLength(whole)); // a crash may have torn the last line; nothing may be added to it
  whole.split("\n").slice(0, -1).forEach((line) => note(JSON.parse(line)));
}
const journal = openSync(journalName, "a");

function note({ agent, token, batch, answer }) {
  newest.set(agent, Math.max(token, newest.get(agent) ?? 0));
  if (batch !== undefined) answers.set(batch, answer);
}

function record(entry) {
  writeSync(journal, JSON.stringify(entry) + "\n");
  fsyncSync(journal);
  note(entry);
}

// Tokens are microseconds since 1970: below 2^53, so a JavaScript number holds them.
async function take(request) {
  const { agent_id: agent, batch_id: batch, token } = request;
  if (token < (newest.get(agent) ?? 0)) return [409, { error: "stale token: another worker holds this agent" }];
  record({ agent, token });
  if (answers.has(batch)) return [200, answers.get(batch)];
  if (running.has(agent)) return [409, { error: "this agent is in a turn" }];
  running.add(agent);
  try {
    const answer = await turn(request);
    record({ agent, token, batch, answer });
    return [200, answer];
  } finally {
    running.delete(agent);
  }
}

/** Whether one of the signatures is ours and no older than five minutes (Standard Webhooks). */
function genuine(secret, headers, body) {
  const stamp = headers["webhook-timestamp"] ?? "";
  if (!/^\d{1,12}$/.test(stamp) || Math.abs(Date.now() / 1000 - Number(stamp)) > TOLERANCE_S) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const ours = Buffer.from("v1," + createHmac("sha256", key).update(`${headers["webhook-id"] ?? ""}.${stamp}.`).update(body).digest("base64"));
  return (headers["webhook-signature"] ?? "").split(" ").some((word) => {
    const theirs = Buffer.from(word);
    return theirs.length === ours.length && timingSafeEqual(theirs, ours);
  });
}

async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    if ((size += chunk.length) > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function answerTo(http) {
  if (http.method !== "POST") return [405, { error: "POST it" }];
  const body = await bodyOf(http);
  if (body === null) return [413, { error: "too large" }];
  if (!genuine(process.env.WAKE_SECRET, http.headers, body)) return [401, { error: "not signed with our secret, or too old" }];
  const request = JSON.parse(body);
  // The token is taken from the body, which is signed; the headers are not.
  if (request.batch_id !== http.headers["webhook-id"] || String(request.token) !== http.headers["wake-fencing-token"])
    return [400, { error: "headers and body disagree" }];
  return take(request);
}

if (!process.env.WAKE_SECRET) throw new Error("WAKE_SECRET is not set");
const server = createServer(async (request, response) => {
  const [status, answer] = await answerTo(request).catch((error) => [500, { error: String(error) }]);
  response.writeHead(status, { "Content-Type": "application/json", Connection: "close", ...(status === 409 && { "Retry-After": "2" }) });
  response.end(JSON.stringify(answer));
});
server.listen(Number(process.env.PORT ?? 8787), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
