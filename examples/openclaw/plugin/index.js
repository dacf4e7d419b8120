// Wraps every background exec of every agent, so that its end is written down the moment it ends, and sends what was written.
// Nothing in here can fail an exec: what cannot be wrapped runs as it is.
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { sendAll } from "./send.mjs";
import { wrapped } from "./wrap.mjs";

const HERE = dirname(fileURLToPath(import.meta.url)); // the gateway may run a copy, which it removes; `rootDir` is the plugin itself
const EVERY_MS = 5_000;

export default {
  id: "wake-reporter",
  name: "Wake reporter",
  description: "Reports the end of background execs to the Wake Dispatcher",
  register(api) {
    const config = api.pluginConfig ?? {};
    const place = {
      url: config.url ?? "http://127.0.0.1:8377",
      tokenFile: config.tokenFile,
      spool: config.spool ?? join(homedir(), ".wake-spool"),
    };
    api.on(
      "before_tool_call",
      (event, ctx) => {
        const params = event.params ?? {};
        if (params.background !== true || typeof params.command !== "string" || event.toolKind === "code_mode_exec") return undefined;
        const runId = event.runId ?? ctx.runId;
        const toolCallId = event.toolCallId ?? ctx.toolCallId;
        if (!ctx.sessionKey || !runId || !toolCallId) return undefined;
        const report = { completion_id: idOf(`${runId}:${toolCallId}`), session_key: ctx.sessionKey, run_id: runId, command: params.command };
        return { params: { ...params, command: wrapped(params.command, report, { ...place, here: api.rootDir ?? HERE, pty: params.pty === true }) } };
      },
      { matcher: ["exec"] },
    );
    // Each report is sent by a process of its own right away. This timer sends what a dispatcher that was away has left behind.
    let timer;
    api.registerService({
      id: "wake-reporter",
      start() {
        timer = setInterval(() => sendAll(place).catch(() => {}), EVERY_MS);
        timer.unref();
      },
      stop() {
        clearInterval(timer);
      },
    });
  },
};

/** What the dispatcher takes as an id; providers make up tool call ids of any length. */
function idOf(text) {
  return /^[\x21-\x7e]{1,200}$/.test(text) ? text : createHash("sha256").update(text).digest("hex");
}
