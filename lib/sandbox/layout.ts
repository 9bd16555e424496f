/**
 * Plans laid out as programs. Servers ask for the same sandbox thousands of times: the last few are kept.
 * @module
 */
import { ARCH, elfImage, Program, type Plan } from "../../syscalls/index.ts";
import { compile, compileJoin, CONTROL_FD } from "../plan/index.ts";
import type { Beside, Facts, JoinKind, SandboxPlan } from "../plan/index.ts";
import { isFrozen } from "../seccomp/index.ts";
import type { Spec } from "../spec/index.ts";
import { KeptImage } from "./kept-image.ts";

export interface Layout {
  compiled: SandboxPlan;
  program: Program;
  /** What the command's process leaves the owner's memory by, where there is a command. */
  commandImage: KeptImage | undefined;
}

/** Of a process that joins a sandbox: whatever its arguments are, but for the command's name. */
export interface JoinLayout {
  plan: Plan;
  program: Program;
}

/** A layout takes 50 to 100 KB, and a descriptor. */
const KEPT = 16;
const layouts = new Map<string, Layout>();
const joinLayouts = new Map<string, JoinLayout>();

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

/** Of frozen specifications, and what is beside them: the same ones come again. */
const requests = new WeakMap<Spec, { beside: Beside; text: string | undefined }>();

/** Undefined where the request is not to be recognised: its filter may be changed by whoever owns it. */
function keyOf(spec: Spec, beside: Beside, facts: Facts): string | undefined {
  let known = requests.get(spec);
  if (known?.beside !== beside) {
    known = { beside, text: requestText(spec, beside) };
    if (Object.isFrozen(spec)) requests.set(spec, known);
  }
  if (known.text === undefined) return undefined;
  const { sources, kernelPaths, ...restOfFacts } = facts;
  return `${known.text}\n${kernelPaths.size} ${JSON.stringify([restOfFacts, [...sources]])}`;
}

function requestText(spec: Spec, beside: Beside): string | undefined {
  const { process, mounts, linux, ...rest } = spec;
  const { capabilities = {}, ...restOfProcess } = process;
  const { seccomp, maskedPaths, readonlyPaths, ...restOfLinux } = linux;
  if (seccomp && !isFrozen(seccomp)) return undefined;
  // what is in a file that was asked for may be a secret, and is not kept longer than it is needed
  if (Object.keys(beside.files ?? {}).some((path) => path !== "/etc/resolv.conf")) return undefined;
  const { root: whole, ...restOfBeside } = beside;
  const root = whole.kind === "tmpfs" ? [identityOf(whole.entries), whole.limit, whole.writable] : whole;
  return [
    JSON.stringify([rest, restOfProcess, Object.keys(capabilities), restOfLinux, root, restOfBeside]),
    ...[...Object.values(capabilities), ...mounts, maskedPaths, readonlyPaths].map(textOf),
    identityOf(seccomp),
  ].join("\n");
}

export function layOut(spec: Spec, beside: Beside, facts: Facts): Layout {
  const key = keyOf(spec, beside, facts);
  return keep(
    layouts,
    key,
    () => layoutOf(compile(spec, beside, facts), key !== undefined),
    (gone) => gone.commandImage?.close(),
  );
}

/** @param isKept for the next sandbox that is the same */
export function layoutOf(compiled: SandboxPlan, isKept = false): Layout {
  const { plan, init } = compiled;
  const image = () => elfImage(new Program(plan, ARCH, "image"), {}, CONTROL_FD);
  const commandImage = init === "idle" ? undefined : new KeptImage("tsbox-command", 0o111, image, isKept);
  return { compiled, program: new Program(plan, ARCH), commandImage };
}

/** @param cgroup how it is joined @param sized its root filesystem has a size of its own */
export function layOutJoin(spec: Spec, cgroup: Facts["cgroup"], sized: boolean, kind: JoinKind): JoinLayout {
  const { process } = spec;
  // nothing is mounted: what the machine has of files does not matter
  const facts: Facts = { arch: ARCH, privileged: true, sources: NONE, kernelPaths: NONE, cgroup };
  const joined = { ...spec, mounts: [], process: { ...process, args: process.args.slice(0, 1) } };
  const known = keyOf(joined, { root: { kind: sized ? "overlay" : "directory" }, idle: kind === "agent" }, facts);
  const key = known === undefined ? undefined : `${kind}\n${known}`;
  return keep(joinLayouts, key, () => {
    const plan = compileJoin(joined, facts, sized, kind);
    return { plan, program: new Program(plan, ARCH) };
  });
}

const NONE: Facts["sources"] = new Map();

/** The one that is kept, or a new one; the least recently used one goes. */
function keep<T>(kept: Map<string, T>, key: string | undefined, make: () => T, release?: (layout: T) => void): T {
  if (key === undefined) return make();
  const known = kept.get(key);
  const layout = known ?? make();
  if (known) kept.delete(key);
  else if (kept.size >= KEPT) {
    // the first is the least recently used one
    const oldest = kept.keys().next().value as string;
    release?.(kept.get(oldest) as T);
    kept.delete(oldest);
  }
  kept.set(key, layout);
  return layout;
}
