/**
 * Starts the processes of a sandbox that outlives this program: what its plan, and its supervisor, find bound.
 * @module
 */
import { Descriptors, TsboxError } from "../../syscalls/index.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import { bindPassing, factsFor, startSupervised, type Meanwhile, type SupervisedResult } from "../launch/index.ts";
import { compile, listens, SUPERVISED, type Supervision } from "../plan/index.ts";
import { initImage, lockLayer, type Stdio } from "./launch.ts";
import { layoutOf } from "./layout.ts";
import type { Requested } from "./request.ts";

export type { Executed, Supervision } from "../plan/index.ts";
export type { Meanwhile, SupervisedResult } from "../launch/index.ts";

/** What the supervisor keeps; -1 where there is none. All stay the caller's. */
export interface Supervised {
  directory: number;
  log: number;
  exit: number;
  alive: number;
  /** Read ends of pipes. */
  out: number;
  err: number;
  /** The end of stdin that is written to. */
  in: number;
  "pidfd socket": number;
  "stdin socket": number;
  /** The file that tells of memory that was out. */
  events: number;
  /** Locks that are held by being open. */
  locks: number[];
}

/**
 * Once the command is executed, or has failed to be.
 * @param networked makes the network ready, meanwhile
 * @throws TsboxError what is known before anything is started
 */
export async function supervise(
  { spec, beside }: Requested,
  cgroup: Pick<ContainerCgroup, "membership" | "open">,
  stdio: Stdio,
  { locks, ...files }: Supervised,
  supervision: Supervision,
  networked?: Meanwhile,
): Promise<SupervisedResult> {
  if (listens(spec))
    throw new TsboxError("use the seccomp profile: SCMP_ACT_NOTIFY in a container that lasts", { code: "unsupported" });
  using opened = new Descriptors();
  const layer = beside.root.kind === "overlay" ? beside.root.layer : undefined;
  const held = [...locks, ...(layer === undefined ? [] : [opened.add(lockLayer(layer))])];
  const names = held.map((_, index) => `lock${index}`);
  const { compiled, commandImage } = layoutOf(
    compile(
      spec,
      { ...beside, supervised: [...SUPERVISED, ...names], ...(networked && { networked: true }) },
      factsFor(spec, cgroup.membership),
    ),
  );
  const bound: Record<string, number> = {
    init: initImage(compiled.init, compiled.sized, opened, true),
    "command-image": commandImage?.descriptor(opened) ?? -1,
    ...stdio,
    ...cgroup.open(opened),
  };
  const kept: Record<string, number> = { ...files, passing: -1 };
  names.forEach((name, index) => (kept[name] = held[index] as number));
  if (spec.process.terminal) kept["passing"] = opened.add(bindPassing(bound, opened));
  return await startSupervised({ compiled, bound, kept, supervision, meanwhile: networked });
}
