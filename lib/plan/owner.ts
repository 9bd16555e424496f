/**
 * The steps of the owner, which its own thread walks: it opens what only the owner may open, clones the sandbox's first
 * process, and writes the id maps, which nobody inside may do.
 * @module
 * @see user_namespaces(7), mount_setattr(2)
 */
import { buffer, named, ref, words } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { Mount, NamespaceType, Spec } from "../spec/index.ts";
import { byte, cloneStep, NEW, pipeOps, type Clone } from "./clone.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { NODES, ownersNodes } from "./device-nodes.ts";
import { isInRootfs, mountSlot, openBind } from "./filesystem.ts";
import { helpedMapSteps, idMapStep } from "./id-maps.ts";
import { cloneIntermediate, isApart, isJoined } from "./intermediate.ts";
import { imageSlot, openLayers } from "./image-mounts.ts";
import { isBind } from "./mount-options.ts";
import { mountIdSteps, OWN_MAP, ownMapSteps } from "./mount-ids.ts";
import { openRoot, rootSlots } from "./root.ts";

/**
 * Made by the new process itself: a cgroup namespace is rooted where the process then is, and a network namespace takes
 * the kernel a millisecond, for which the owner's thread would stand still (measured).
 */
export const LATER: NamespaceType[] = ["cgroup", "network"];

/** The part of a plan that is walked in the owner's thread. */
export interface OwnerPart {
  steps: Plan;
  /** The slots of descriptors that have to be closed where a step fails; 0 where there is none. */
  opened: string[];
  /** The signals that were blocked before, to be blocked again where a step fails. */
  signals: Data;
}

export function ownerPart(spec: Spec, beside: Beside, facts: Facts, inUse: Data): OwnerPart {
  const { uidMappings } = spec.linux;
  const apart = isApart(spec, facts);
  const steps = facts.privileged ? sourceSteps(spec, beside) : [];
  if (uidMappings) steps.push({ action: "make a pipe, to tell when the id maps are written", ops: pipeOps("go") });
  const mountIds = uidMappings || isJoined(spec, "user") ? mountIdSteps(spec, beside, facts) : [];
  const between = apart ? cloneIntermediate(spec, facts.cgroup.into, uidMappings ? [] : mountIds) : undefined;
  if (between) steps.push(...between.steps);
  else steps.push(cloneStep("clone the sandbox's first process into its namespaces", firstClone(spec, facts, inUse)));
  if (uidMappings)
    steps.push(...(facts.idMapper ? helpedMapSteps(spec, facts.idMapper) : [idMapStep(spec, facts)]), ...mountIds, GO);
  const opened = [...(facts.privileged ? sourceSlots(spec, beside) : []), ...(between?.opened ?? [])];
  if (uidMappings) opened.push("go-read", "go-write", ...(facts.idMapper ? [] : ["process"]));
  if (uidMappings && mountIds.length > 0) opened.push("ids");
  return inOwnersThread(steps, opened);
}

/** Of the first process, whoever clones it. */
export function firstClone(spec: Spec, facts: Facts, inUse: Data): Clone {
  const early = spec.linux.namespaces.flatMap(({ type, path }) =>
    // a time namespace is entered by executing something, and not by a process that shares memory
    path !== undefined || type === "time" || LATER.includes(type) ? [] : NEW[type],
  );
  const intoCgroup = facts.cgroup.into && !isApart(spec, facts);
  const cloneFlags = flags(
    "CLONE_VM",
    "CLONE_CHILD_CLEARTID",
    "CLONE_CLEAR_SIGHAND",
    ...(intoCgroup ? (["CLONE_INTO_CGROUP"] as const) : []),
    ...early,
  );
  return { label: "first", flags: cloneFlags, inUse, intoCgroup };
}

/** What a step closes as soon as it is done with it. */
const CLOSED = ["map", "told-write", ...OWN_MAP.descriptors];

/** No signal may reach a process that shares the owner's memory: its handlers are the owner's. */
export function inOwnersThread(steps: Plan, opened: string[]): OwnerPart {
  const [SIG_BLOCK, SIG_SETMASK] = [named("SIG_BLOCK", 0), named("SIG_SETMASK", 2)];
  const signals = buffer("signals blocked before", 8);
  const hold: Step = {
    action: "hold signals back",
    ops: [{ call: "rt_sigprocmask", args: [SIG_BLOCK, words("all signals", -1), signals, 8] }],
  };
  const end: Step = {
    action: "leave the rest to the new process",
    ops: [
      ...opened.map((slot): Op => ({ call: "close", args: [ref(slot)] })),
      { call: "rt_sigprocmask", args: [SIG_SETMASK, signals, 0, 8] },
      { call: "end", args: [] },
    ],
  };
  return { steps: [hold, ...steps, end], opened: [...opened, ...CLOSED], signals };
}

const isOpened = (spec: Spec, { root }: Beside, mount: Mount): boolean =>
  isBind(mount) && !mount.options?.includes("remount") && !(root.kind === "bundle" && isInRootfs(spec, mount));

function sourceSlots(spec: Spec, beside: Beside): string[] {
  const slots = spec.mounts.flatMap((mount, index) => (isOpened(spec, beside, mount) ? [mountSlot(index)] : []));
  return [
    ...slots,
    ...Object.keys(beside.images ?? {}).map(imageSlot),
    ...rootSlots(beside.root),
    ...(beside.nodes ? [NODES] : []),
  ];
}

function sourceSteps(spec: Spec, beside: Beside): Plan {
  const steps = spec.mounts.flatMap((mount, index) =>
    isOpened(spec, beside, mount) ? [openBind(mount, mountSlot(index), beside)] : [],
  );
  for (const [destination, image] of Object.entries(beside.images ?? {})) steps.push(openLayers(destination, image));
  steps.push(...ownMapSteps(spec));
  if (beside.nodes) steps.push(...ownersNodes(beside.nodes, spec.linux));
  if (beside.root.kind !== "tmpfs") steps.push(...openRoot(spec, beside.root));
  return steps;
}

const GO: Step = {
  action: "tell the first process to go on",
  ops: [{ call: "write", args: [ref("go-write"), byte(), 1] }],
};
