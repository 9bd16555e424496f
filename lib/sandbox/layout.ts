/**
 * Plans laid out as programs. Servers ask for the same sandbox thousands of times: the last few are kept.
 * @module
 */
import { ARCH, Program } from "../../syscalls/index.ts";
import { compile, type Beside, type Facts, type SandboxPlan } from "../plan/index.ts";
import type { Spec } from "../spec/index.ts";

export interface Layout {
  compiled: SandboxPlan;
  program: Program;
}

/** A layout takes 50 to 100 KB. */
const KEPT = 16;
const layouts = new Map<string, Layout>();

/** Big values stand for themselves: they are made once, and never changed. */
const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identityOf(value: object | undefined): number {
  if (value === undefined) return 0;
  let identity = identities.get(value);
  if (identity === undefined) identities.set(value, (identity = ++lastIdentity));
  return identity;
}

export function layOut(spec: Spec, beside: Beside, facts: Facts): Layout {
  const { seccomp, ...linux } = spec.linux;
  const root = beside.root.kind === "tmpfs" ? identityOf(beside.root.entries) : beside.root.kind;
  const { sources, kernelPaths, ...others } = facts;
  const key = JSON.stringify([
    { ...spec, linux },
    identityOf(seccomp),
    root,
    beside.idle,
    [...sources],
    [...kernelPaths],
    others,
  ]);
  let layout = layouts.get(key);
  if (layout) {
    layouts.delete(key); // the least recently used one is the first
  } else {
    const compiled = compile(spec, beside, facts);
    layout = { compiled, program: new Program(compiled.plan, ARCH) };
    if (layouts.size >= KEPT) layouts.delete(layouts.keys().next().value as string);
  }
  layouts.set(key, layout);
  return layout;
}
