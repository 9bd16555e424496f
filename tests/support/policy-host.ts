/**
 * A program with sandboxes, on a machine of its own: it does what it is told, one function after the other.
 *
 * In: a line of JSON for each, `{ source, args }`; out: one for each, `{ value }` or `{ error }`.
 * @module
 */
import { createInterface } from "node:readline";
import { Sandbox, type NetworkPolicy, type SandboxOptions } from "../../lib/index.ts";
import { attack } from "./policy-attack.ts";

/** A policy as data: functions are their text. */
export type PolicyText = Omit<NetworkPolicy, "connect" | "hosts"> & {
  connect?: string;
  hosts?: Record<string, string>;
};

/** What a function that is done over there gets. */
export interface HostTools {
  Sandbox: typeof Sandbox;
  attack: typeof attack;
  policy(text: PolicyText | false | "host"): NonNullable<SandboxOptions["network"]>;
  /** Between one function and the next. */
  kept: Record<string, unknown>;
}

const revive = (source: string) => new Function(`return (${source})`)() as never;
const tools: HostTools = {
  Sandbox,
  attack,
  policy(text) {
    if (typeof text !== "object") return text;
    const { connect, hosts, ...lists } = text;
    const handlers = Object.entries(hosts ?? {}).map(([name, source]) => [name, revive(source)]);
    return {
      ...lists,
      ...(connect && { connect: revive(connect) }),
      ...(hosts && { hosts: Object.fromEntries(handlers) }),
    };
  },
  kept: {},
};

for await (const line of createInterface({ input: process.stdin })) {
  const { source, args } = JSON.parse(line) as { source: string; args: unknown[] };
  let answer: unknown;
  try {
    // of the test that started this
    const act = revive(source) as (tools: HostTools, ...args: unknown[]) => unknown;
    answer = { value: (await act(tools, ...args)) ?? null };
  } catch (error) {
    const { message, code, hint } = error as { message: string; code?: string; hint?: string };
    answer = { error: { message, code, hint } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
