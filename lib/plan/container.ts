/**
 * Compiles what a bundle says into the plan that makes a container: one process, which builds everything, waits to be
 * started as an image that carries nothing of its creator's memory, and becomes the command.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md#lifecycle
 */
import { cstring, named, ref, words } from "../../syscalls/index.ts";
import type { Plan, Step } from "../../syscalls/index.ts";
import type { ContainerSpec, Hooks, Spec } from "../spec/index.ts";
import { anyCpuStep, attributeSteps } from "./attributes.ts";
import { domainnameStep, enterSteps, hostnameStep, loopbackUp, mappedSteps } from "./compile.ts";
import type { Beside, Facts, OwnedPlan } from "./compile.ts";
import { SESSION } from "./clone.ts";
import {
  enterAtLast,
  enterIfAllowed,
  leaveMemorySteps,
  openDirectory,
  privilegeStep,
  rlimitSteps,
  signalStep,
} from "./command.ts";
import type { KeptInImage } from "./command.ts";
import { containerCovers, containerMounts, enterRoot } from "./container-filesystem.ts";
import { stdioStep } from "./descriptors.ts";
import { executeStep, findStep } from "./execute.ts";
import { betweenSteps } from "./filesystem.ts";
import { hookStep } from "./hook.ts";
import { withHostSysfs } from "./host-sysfs.ts";
import { identitySteps, takeCapabilities } from "./identity.ts";
import { checkNamespaces, intermediateSteps, isApart, isOwn, oomStep } from "./intermediate.ts";
import { checkLabels, isLabelled, labelMounts, labelSteps, openProc } from "./labels.ts";
import type { SecurityModules } from "./labels.ts";
import { filterStep, listens, type Receivers } from "./listener.ts";
import { memoryPolicySteps } from "./memory-policy.ts";
import { checkMountIds } from "./mount-ids.ts";
import { checkCopiedUp } from "./mount-options.ts";
import { firstClone, ownerPart } from "./owner.ts";
import { openOrMake } from "./mounts.ts";
import { reachStep } from "./reach.ts";
import { checkSysctl, sysctlSteps } from "./sysctl.ts";
import { terminalSteps } from "./terminal.ts";
import { checkTime, timeSteps } from "./time.ts";
import { waitToStart } from "./waiting.ts";

/** A container that has a process, and so can be started. */
export type StartableSpec = ContainerSpec & Spec;

/** What the bundle does not say. */
export interface ContainerBeside {
  id: string;
  bundle: string;
  /** Its cgroups are not joined by the process itself: the creator moves it there, when it is told `reached`. */
  moved: boolean;
  /** Descriptors from 3 on that are passed to the command. */
  preserved: number;
  /** By pivot_root(2), or by chroot(2). */
  pivot: boolean;
  /** A session keyring of its own. */
  keyring: boolean;
  /** Those of stdin, stdout and stderr that become the user's, who may want to open them by their names. */
  given: readonly Given[];
  /** What its terminal shows is read by another program. */
  piped: boolean;
}

export interface Given {
  stream: "stdin" | "stdout" | "stderr";
  /** Its group becomes the user's, too: that of a terminal says who may write to it. */
  group: boolean;
}

/** In a user namespace nobody may make nodes: of those that are asked for, the owner has to. */
function bundleOf({ linux: { devices = [], namespaces } }: StartableSpec): Beside {
  const bundle: Beside = { root: { kind: "bundle" }, idle: false };
  const isMapped = namespaces.some(({ type, path }) => type === "user" && path === undefined);
  return isMapped && devices.length > 0 ? { ...bundle, nodes: devices } : bundle;
}

/**
 * The process stops for the creator when its namespaces stand, to be moved to its cgroups; and for network devices and
 * hooks.
 */
const runtimeHooks = ({ prestart = [], createRuntime = [] }: Hooks): number => prestart.length + createRuntime.length;

/**
 * Bound are `stdin`, `stdout`, `stderr`, the cgroup, `control`, the listening socket as `start`, the state that hooks
 * read as `state`, and `pass-socket` where there is a terminal.
 * @throws TsboxError `invalid_option`, `unsupported`
 */
export function compileContainer(spec: StartableSpec, beside: ContainerBeside, machine: Facts): OwnedPlan {
  checkNamespaces(spec);
  checkMountIds(spec, machine);
  const facts = { ...machine, privileged: machine.privileged && hasOtherIds(spec) };
  for (const mount of spec.mounts) checkCopiedUp(mount);
  checkSysctl(spec, true);
  checkTime(spec, facts);
  checkLabels(spec, facts.modules);
  const { process } = spec;
  const { oomScoreAdj } = process;
  const inUse = words("in use", 0, 0);
  // the creator ends soon: its own score may be that of the container
  const building: StartableSpec = withHostSysfs({
    ...spec,
    mounts: labelMounts(spec, facts.modules),
    process: { ...process },
  });
  delete building.process.oomScoreAdj;
  const bundle = bundleOf(building);
  const { steps, ...owner } = ownerPart(building, bundle, facts, inUse);
  const [hold, ...others] = steps as [Step, ...Plan];
  const [begin, ...enter] = enterSteps(facts, (type) => isOwn(spec, type)) as [Step, ...Plan];
  const kept = keptInImage(beside.preserved, keptSlots(spec, facts.modules));
  const plan: Plan = [
    hold,
    ...(oomScoreAdj === undefined ? [] : [oomStep(oomScoreAdj)]),
    ...others,
    ...(isApart(building, facts)
      ? intermediateSteps(building, firstClone(building, facts, inUse), betweenSteps(building, bundle, facts))
      : []),
    begin,
    ...(beside.moved ? [reachStep("be moved to the cgroups", "moved")] : []),
    ...(beside.keyring ? [keyringStep(beside.id)] : []),
    ...enter,
    SESSION,
    ...mappedSteps(spec),
    ...timeSteps(spec),
    ...namingSteps(spec),
    ...filesystemSteps(building, beside, facts, facts.privileged && bundle.nodes !== undefined),
    ...becomeSteps(building, beside, kept, facts.modules),
    ...waitToStart(kept, keptSlots(spec, facts.modules)),
    ...startSteps(spec, facts),
  ];
  return { plan, owner, inUse };
}

/** A bundle may say of no process. */
const NOTHING: Step = { action: "end, as there is no command", ops: [{ call: "exit_group", args: [0] }] };

/** What comes after it has been started: the end of its plan. */
export const startSteps = (spec: StartableSpec, facts: Pick<Facts, "arch" | "modules">): Plan => [
  // one that says nothing of an environment has the command's, as runc has it
  ...(spec.hooks?.startContainer ?? []).map((hook, index) =>
    hookStep("startContainer", { env: spec.process.env, ...hook }, index),
  ),
  signalStep(),
  ...labelSteps(spec, ref("proc"), facts.modules),
  ...restrictSteps(spec, facts),
  spec.process.args.length > 0 ? executeStep(spec, undefined, true) : NOTHING,
];

/** Without any, the process has the rights of its creator, and opens what it mounts itself. */
const hasOtherIds = ({ mounts, linux: { namespaces } }: Spec): boolean =>
  namespaces.some(({ type }) => type === "user") || mounts.some(({ uidMappings }) => uidMappings !== undefined);

/** Whether some hooks are run inside, which takes a file of the state. */
export const startsHooks = ({ createContainer = [], startContainer = [] }: Hooks): boolean =>
  createContainer.length + startContainer.length > 0;

function namingSteps(spec: StartableSpec): Plan {
  const { hostname, domainname } = spec;
  const steps: Plan = [];
  if (hostname !== undefined && isOwn(spec, "uts")) steps.push(hostnameStep(hostname));
  if (domainname !== undefined) steps.push(domainnameStep(domainname));
  if (isOwn(spec, "network")) steps.push(loopbackUp());
  return steps;
}

function filesystemSteps(spec: StartableSpec, beside: ContainerBeside, facts: Facts, hasNodes: boolean): Plan {
  const { hooks = {} } = spec;
  const { netDevices } = spec.linux;
  return [
    ...(isLabelled(spec, facts.modules) ? [openProc] : []),
    ...containerMounts(spec, facts, hasNodes),
    ...sysctlSteps(spec),
    ...terminalSteps(spec, () => [], beside.piped),
    ...(netDevices || runtimeHooks(hooks) > 0 ? [reachStep("have the creator do its part", "hooks")] : []),
    ...(hooks.createContainer ?? []).map((hook, index) => hookStep("createContainer", hook, index, beside.bundle)),
    // in a mount namespace of others, nothing of theirs is moved
    ...enterRoot(beside.pivot && isOwn(spec, "mount")),
    makeDirectory(spec.process.cwd),
    ...containerCovers(spec),
  ];
}

/** Before the root is read-only. */
const makeDirectory = (path: string): Step => ({
  action: `make the working directory "${path}", where it is missing`,
  ops: [...openOrMake(path, "directory", "cwd", () => []), { call: "close", args: [ref("cwd")] }],
  path,
  code: "invalid_option",
});

/** Leaves the creator's memory, and becomes all that the command is but for what is left for the moment when it starts. */
function becomeSteps(
  spec: StartableSpec,
  { preserved, given }: ContainerBeside,
  kept: KeptInImage,
  modules: SecurityModules | undefined,
): Plan {
  const { process } = spec;
  // those are of processes that join
  const { execCPUAffinity: _, ...alone } = process;
  const own = ["start", ...keptSlots(spec, modules), "command-image"];
  return [
    ...(given.length > 0 ? [giveStep(spec, given)] : []),
    anyCpuStep(),
    stdioStep(spec, { session: false, own, preserved }),
    ...leaveMemorySteps(kept),
    // what is executed later than this has no capabilities that are not in the bounding set
    ...rlimitSteps(spec),
    ...attributeSteps({ ...spec, process: alone }),
    ...memoryPolicySteps(spec),
    openDirectory(process.cwd),
    enterIfAllowed(process.cwd),
    ...identitySteps(spec, isRestrictedLate(spec) ? "CAP_SYS_ADMIN" : undefined),
    enterAtLast(process.cwd),
    ...(process.args.length > 0 ? [findStep(spec)] : []),
  ];
}

/** What is not the creator's to give stays as it is. */
const giveStep = ({ process: { user } }: Spec, given: ContainerBeside["given"]): Step => ({
  action: `give ${given.map(({ stream }) => stream).join(", ")} to user ${user.uid}`,
  ops: given.map(({ stream, group }) => ({
    call: "fchown",
    args: [ref(stream), user.uid, group ? user.gid : -1],
    onError: "ignore",
  })),
});

/** What is used once the container is started, besides `control` and `start`. */
const keptSlots = (spec: StartableSpec, modules: SecurityModules | undefined): string[] => [
  ...(startsHooks(spec.hooks ?? {}) ? ["state"] : []),
  ...(isLabelled(spec, modules) ? ["proc"] : []),
];

/** Numbers behind those that are the command's. */
function keptInImage(preserved: number, slots: readonly string[]): KeptInImage {
  const names = ["control", "control+1", ...slots.map((_, index) => `control+${index + 2}`)];
  return names.map((name, index) => [name, 3 + preserved + index]);
}

/** Without no_new_privs, a filter can be loaded only as long as there is CAP_SYS_ADMIN. */
export const isRestrictedLate = ({ process, linux }: Spec): boolean =>
  linux.seccomp !== undefined && !process.noNewPrivileges;

/** Whether somebody is to have the listener of the filter, also of one that never asks. */
export const isAsked = (spec: Spec): boolean => listens(spec) || spec.linux.seccomp?.listenerPath !== undefined;

/** The last thing before the command: nothing of what comes before has to be allowed by the filter. */
export function restrictSteps(spec: StartableSpec, { arch }: Pick<Facts, "arch">, to: Receivers = STARTER): Plan {
  const { seccomp } = spec.linux;
  const steps = privilegeStep(spec);
  if (seccomp) steps.push(filterStep(seccomp, arch, isAsked(spec) ? to : undefined));
  return isRestrictedLate(spec) ? [...steps, takeCapabilities(spec)] : steps;
}

/** Whoever starts the process passes the listener on: it knows the process, and to whom. */
const starter = ref("starter");
const STARTER: Receivers = { socket: starter, told: starter };

/** @see keyctl_join_session_keyring(3) */
function keyringStep(id: string): Step {
  const KEYCTL_JOIN_SESSION_KEYRING = named("KEYCTL_JOIN_SESSION_KEYRING", 1);
  return {
    action: "have a session keyring of its own",
    // ENOSYS: the kernel has no keys
    ops: [
      { call: "keyctl", args: [KEYCTL_JOIN_SESSION_KEYRING, cstring(`_ses.${id}`)], onError: { ignore: "ENOSYS" } },
    ],
    hint: (errno) => (errno === "EDQUOT" ? "the user has too many keys: --no-new-keyring does without" : undefined),
  };
}
