// BullMQ as a doorbell over a list that we wrote by hand: one job per agent at a time (deduplication that keeps the last one while one
// runs), 250 ms after the first. `work` runs heartbeats, `submit '{"agents": 10, "each": 5, "paced": false}'` reports completions, each
// accepted before the next; both as the modules in Python do it (notes.py, submitting.py).
"use strict";

const { appendFileSync, readFileSync } = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const { Queue, Worker } = require("bullmq");
const Redis = require("ioredis");

const QUEUE = "bench";
const SLOTS = 8;
const PACED_LIMIT_MS = 10_000;
const WARM_LIMIT_MS = 60_000;
const WINDOW_MS = Number(process.env.BENCH_WINDOW_S ?? "0.25") * 1_000;
const TURN_MS = Number(process.env.BENCH_TURN_S ?? "0") * 1_000;
const NOTES = process.env.BENCH_NOTES;

const connection = () => new Redis(address(process.env.BENCH_URL), { maxRetriesPerRequest: null });

function address(url) {
  const { protocol, pathname, searchParams } = new URL(url);
  return protocol === "unix:" ? { path: pathname, db: Number(searchParams.get("db") ?? "0"), maxRetriesPerRequest: null } : url;
}

// ns since the epoch as a number in JSON: too large for a double to be exact, so the digits are put together.
const startNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
const nowNs = () => String(startNs + process.hrtime.bigint());

function note(started, agent, ids) {
  appendFileSync(NOTES, `[${started}, ${nowNs()}, ${JSON.stringify(agent)}, ${JSON.stringify(ids)}]\n`);
}

async function work() {
  const client = connection();
  const turn = async ({ data: { agent } }) => {
    const list = `list:${agent}`;
    const [[, ids]] = await client.multi().lrange(list, 0, -1).ltrim(list, 1, 0).exec();
    if (!ids.length) return;
    const started = nowNs();
    if (TURN_MS) await sleep(TURN_MS);
    note(started, agent, ids);
  };
  const worker = new Worker(QUEUE, turn, { connection: connection(), concurrency: SLOTS });
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  await worker.close(true);
  process.exit(0);
}

// The ids that were noted, read on from where the last look ended.
class Noted {
  ids = new Set();
  at = 0;

  look() {
    let text = Buffer.alloc(0);
    try {
      text = readFileSync(NOTES).subarray(this.at);
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
    const whole = text.subarray(0, text.lastIndexOf("\n") + 1);
    this.at += whole.length;
    for (const line of whole.toString().split("\n")) if (line) for (const id of JSON.parse(line)[3]) this.ids.add(id);
    return this.ids.size;
  }

  async wait(count, limitMs) {
    for (const until = Date.now() + limitMs; Date.now() < until; await sleep(10)) if (this.look() >= count) return true;
    return false;
  }
}

function* pairs(agents, each) {
  for (let turn = 0; turn < each; turn++) for (let number = 0; number < agents; number++) yield [`a${number}`, `a${number}-${turn}`];
}

async function submitAll(asked) {
  const client = connection();
  const queue = new Queue(QUEUE, { connection: client });
  const submit = async (agent, name) => {
    // One connection, so that the list has it before the job is there; the replies of both are awaited.
    const pushed = client.rpush(`list:${agent}`, name);
    const options = { deduplication: { id: agent, keepLastIfActive: true }, delay: WINDOW_MS, removeOnComplete: true, removeOnFail: true };
    await Promise.all([pushed, queue.add("turn", { agent }, options)]);
  };
  const noted = new Noted();
  await submit("warm", "warm-0");
  if (!(await noted.wait(1, WARM_LIMIT_MS))) throw new Error("the first one never ran");
  const sent = [];
  const started = nowNs();
  let place = 0;
  for (const [agent, name] of pairs(asked.agents, asked.each)) {
    if (asked.paced) sent.push(`${JSON.stringify(name)}: ${nowNs()}`);
    await submit(agent, name);
    place += 1;
    if (asked.paced) {
      await noted.wait(place + 1, PACED_LIMIT_MS);
      await sleep(20);
    }
  }
  console.log(`{"started": ${started}, "ended": ${nowNs()}, "sent": {${sent.join(", ")}}}`);
  await queue.close();
  client.disconnect();
}

if (process.argv[2] === "work") work();
else submitAll(JSON.parse(process.argv[3]));
