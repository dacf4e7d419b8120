// Loads the plugin as a gateway does, shows it one exec, and prints what becomes of the command.
const [entry, config, params, over] = process.argv.slice(2).map((word, place) => (place ? JSON.parse(word) : word));
const { default: plugin } = await import(entry);
let hook;
plugin.register({ pluginConfig: config, on: (_name, handler) => (hook = handler), registerService: () => {} });
const event = { toolName: "exec", params, runId: "r-1", toolCallId: "call-1", ...over };
const changed = hook(event, { agentId: "ops", sessionKey: "agent:ops:main", ...over });
process.stdout.write(JSON.stringify(changed?.params ?? null));
