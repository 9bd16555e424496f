/**
 * Plans laid out as programs. Servers ask for the same sandbox thousands of times: the last few are kept.
 * @module
 */
import { ARCH, Program } from "../../syscalls/index.ts";
import { compile, type Beside, type Facts, type SandboxPlan } from "../plan/index.ts";
import { isFrozen } from "../seccomp/index.ts";
import type { Spec } from "../spec/index.ts";

export interface Layout {
  compiled: SandboxPlan;
  program: Program;
}

/** A layout takes 50 to 100 KB. */
const KEPT = 16;
const layouts = new Map<string, Layout>();

/** What is made once and never changed stands for itself. */
const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identityOf(value: object | undefined): number {
  if (value === undefined) return 0;
  let identity = identities.get(value);
  if (identity === undefined) identities.set(value, (identity = ++lastIdentity));
  return identity;
}

/** Of parts that every sandbox has, and so are frozen, the number says enough. */
const textOf = (value: object | undefined): string =>
  value === undefined || Object.isFrozen(value) ? String(identityOf(value)) : JSON.stringify(value);

/** Undefined where the request is not to be recognised: its filter may be changed by whoever owns it. */
function keyOf(spec: Spec, beside: Beside, facts: Facts): string | undefined {
  const { process, mounts, linux, ...rest } = spec;
  const { capabilities = {}, ...restOfProcess } = process;
  const { seccomp, maskedPaths, readonlyPaths, ...restOfLinux } = linux;
  if (seccomp && !isFrozen(seccomp)) return undefined;
  const { sources, kernelPaths, ...restOfFacts } = facts;
  const root = beside.root.kind === "tmpfs" ? identityOf(beside.root.entries) : beside.root.kind;
  return [
    JSON.stringify([
      rest,
      restOfProcess,
      Object.keys(capabilities),
      restOfLinux,
      restOfFacts,
      root,
      beside.idle,
      [...sources],
    ]),
    ...[...Object.values(capabilities), ...mounts, maskedPaths, readonlyPaths].map(textOf),
    kernelPaths.size,
    identityOf(seccomp),
  ].join("\n");
}

export function layOut(spec: Spec, beside: Beside, facts: Facts): Layout {
  const key = keyOf(spec, beside, facts);
  const known = key === undefined ? undefined : layouts.get(key);
  const layout = known ?? layOutNew(spec, beside, facts);
  if (key === undefined) return layout;
  // the least recently used one is the first
  if (known) layouts.delete(key);
  else if (layouts.size >= KEPT) layouts.delete(layouts.keys().next().value as string);
  layouts.set(key, layout);
  return layout;
}

function layOutNew(spec: Spec, beside: Beside, facts: Facts): Layout {
  const compiled = compile(spec, beside, facts);
  return { compiled, program: new Program(compiled.plan, ARCH) };
}
