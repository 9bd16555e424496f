/**
 * A program with sandboxes, on a machine of its own: it does what it is told, one function after the other.
 *
 * In: a line of JSON for each, `{ source, args }`; out: one for each, `{ value }` or `{ error }`.
 * @module
 */
import { createInterface } from "node:readline";
import { Sandbox } from "../../lib/index.ts";
import { attack } from "./policy-attack.ts";

/** What a function that is done over there gets. */
export interface HostTools {
  Sandbox: typeof Sandbox;
  attack: typeof attack;
}

const tools: HostTools = { Sandbox, attack };

for await (const line of createInterface({ input: process.stdin })) {
  const { source, args } = JSON.parse(line) as { source: string; args: unknown[] };
  let answer: unknown;
  try {
    // of the test that started this
    const act = new Function(`return (${source})`)() as (tools: HostTools, ...args: unknown[]) => unknown;
    answer = { value: (await act(tools, ...args)) ?? null };
  } catch (error) {
    const { message, code, hint } = error as { message: string; code?: string; hint?: string };
    answer = { error: { message, code, hint } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
