// One call of the client: [its file, its options, the name of a method, the arguments] as JSON on standard input.
import { readFileSync } from "node:fs";

const [entry, options, method, args] = JSON.parse(readFileSync(0, "utf8"));
const { WakeClient } = await import(entry);
try {
  process.stdout.write(JSON.stringify(await new WakeClient(options)[method](...args)));
} catch (error) {
  process.stdout.write(JSON.stringify({ thrown: error.name, status: error.status, problem: error.problem }));
}
