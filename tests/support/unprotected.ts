/**
 * Sandboxes with a protection left out, or something put in: a plan is data, so that what an attack comes to without
 * a step of it can be shown.
 * @module
 */
import { makeCgroup } from "../../lib/cgroup/index.ts";
import type { RunOptions } from "../../lib/index.ts";
import { bury, factsFor } from "../../lib/launch/index.ts";
import { compile } from "../../lib/plan/index.ts";
// not faces: what the engine does in one go is taken apart here
import { layoutOf } from "../../lib/sandbox/layout.ts";
import { launch } from "../../lib/sandbox/launch.ts";
import { closePipes, openPipes } from "../../lib/sandbox/pipes.ts";
import { specFor } from "../../lib/sandbox/request.ts";
import type { Spec } from "../../lib/spec/index.ts";
import { close, type Op, type Plan, type Step } from "../../syscalls/index.ts";

export interface Change {
  /** What was asked for, before it is compiled. */
  spec?: (spec: Spec) => void;
  /** The same, once its control group is made: the plan does not know of that. */
  ungrouped?: (spec: Spec) => void;
  /** The plan, before it is laid out: {@link withoutStep}, {@link withoutCalls}, {@link insertBefore}. */
  plan?: (plan: Plan) => Plan;
}

export interface Outcome {
  /** Null where a signal ended it. */
  exitCode: number | null;
  signal: number | undefined;
  stdout: string;
  stdoutBytes: Uint8Array;
  stderr: string;
}

/**
 * `Sandbox.run` of a changed plan; of limits, only those that a cgroup keeps.
 *
 * @example
 * ```ts
 * const shown = await runChanged(["cat", "/proc/keys"], options, { plan: withoutStep('mask "/proc/keys"') });
 * ```
 * @throws TsboxError as `Sandbox.run`
 */
export async function runChanged(command: string[], options: RunOptions, change: Change): Promise<Outcome> {
  const { spec, beside } = specFor(command, options);
  change.spec?.(spec);
  const cgroup = makeCgroup(spec.linux.resources ?? {});
  change.ungrouped?.(spec);
  const pipes = openPipes({ stderr: "pipe", ...options });
  try {
    const compiled = compile(spec, beside, factsFor(spec, cgroup.membership));
    const plan = change.plan?.(compiled.plan) ?? compiled.plan;
    const launched = launch(spec, beside, pipes.stdio, cgroup, layoutOf({ ...compiled, plan }));
    for (const fd of pipes.theirs.splice(0)) close(fd);
    const read = (output: typeof pipes.stdout) => output?.readToEnd((chunk) => chunk, false) ?? new Uint8Array();
    const [stdoutBytes, stderr, { exit, failure }] = await Promise.all([
      read(pipes.stdout),
      read(pipes.stderr),
      launched.control.told.then(async (told) => (await bury(launched), told)),
    ]);
    if (failure) throw failure;
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return {
      exitCode: exit?.exitCode ?? null,
      signal: exit?.signal,
      stdout: text(stdoutBytes),
      stdoutBytes,
      stderr: text(stderr),
    };
  } finally {
    closePipes(pipes);
    await cgroup.remove();
  }
}

/** The action of a step, a pattern that those of some steps match, or an index. */
type Which = string | RegExp | number;

function isMeant(which: Which, { action }: Step, index: number): boolean {
  if (typeof which === "number") return index === which;
  return typeof which === "string" ? action === which : which.test(action);
}

/** Changes steps; what is not there cannot be left out, and a control that shows nothing is an error. */
function changeSteps(plan: Plan, which: Which, change: (step: Step) => Step[]): Plan {
  if (!plan.some((step, index) => isMeant(which, step, index))) {
    throw new Error(`no step "${which}" among: ${plan.map(({ action }) => action).join(" | ")}`);
  }
  return plan.flatMap((step, index) => (isMeant(which, step, index) ? change(step) : [step]));
}

/** Leaves steps out. */
export const withoutStep =
  (which: Which) =>
  (plan: Plan): Plan =>
    changeSteps(plan, which, () => []);

/** Leaves calls of a step out, and keeps its others. */
export const withoutCalls =
  (which: Which, ...calls: Op["call"][]) =>
  (plan: Plan): Plan =>
    changeSteps(plan, which, (step) => [{ ...step, ops: step.ops.filter(({ call }) => !calls.includes(call)) }]);

/** Has something else in the place of some calls of a step. */
export const withCalls =
  (which: Which, call: Op["call"], change: (op: Op) => Op[]) =>
  (plan: Plan): Plan =>
    changeSteps(plan, which, (step) => [
      { ...step, ops: step.ops.flatMap((op) => (op.call === call ? change(op) : [op])) },
    ]);

/** Puts calls in, behind the labels that a step begins with. */
export const insertBefore =
  (which: Which, ...ops: Op[]) =>
  (plan: Plan): Plan =>
    changeSteps(plan, which, (step) => {
      const found = step.ops.findIndex(({ call }) => call !== "label");
      const begin = found < 0 ? step.ops.length : found;
      return [{ ...step, ops: [...step.ops.slice(0, begin), ...ops, ...step.ops.slice(begin)] }];
    });

export function sleep(ms: number): Op {
  const [CLOCK_MONOTONIC, time] = [1, new Uint8Array(16)];
  const view = new DataView(time.buffer);
  view.setBigInt64(0, BigInt(Math.floor(ms / 1000)), true);
  view.setBigInt64(8, BigInt((ms % 1000) * 1e6), true);
  return { call: "clock_nanosleep", args: [CLOCK_MONOTONIC, 0, { data: time, text: `${ms} ms` }, 0] };
}

/** One change after the other. */
export const inTurn =
  (...changes: ((plan: Plan) => Plan)[]) =>
  (plan: Plan): Plan =>
    changes.reduce((changed, change) => change(changed), plan);
