/**
 * What a specification says is right only together with what else it says. All of this is known before anything is
 * made; what depends on the machine is for the kernel to say.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md
 */
import { show } from "../../syscalls/index.ts";
import { CAPABILITIES, isHostname, listMask, namespaceOf } from "../plan/index.ts";
import type {
  CapabilitySets,
  ContainerProcess,
  ContainerSpec,
  IdMapping,
  NamespaceType,
  Scheduler,
} from "../spec/index.ts";
import { Mismatch } from "../schema/index.ts";

const refuse = (where: string, why: string, hint?: string): never => {
  throw new Mismatch(why, hint, [where]);
};

export type Users = (spec: ContainerSpec) => ContainerSpec["linux"];

/** What is passed over, and said. */
export type Warn = (message: string) => void;

/** What is left of it, where some of it is passed over. @param users those of who has not said any @throws Mismatch */
export function settleSpec(given: ContainerSpec, warn: Warn, users: Users): ContainerSpec {
  const spec = { ...given, linux: users(given) };
  checkNamespaces(spec);
  checkNames(spec);
  checkTime(spec);
  checkSysctls(spec);
  checkNetDevices(spec);
  checkMemoryPolicy(spec);
  checkListener(spec);
  const settled = { ...spec, mounts: mountsOf(spec, warn), linux: linuxOf(spec, warn) };
  return spec.process ? { ...settled, process: settleProcess(spec.process, warn) } : settled;
}

/** Of a container, or one that joins it. @throws Mismatch */
export function settleProcess(process: ContainerProcess, warn: Warn, where = "process."): ContainerProcess {
  checkRlimits(process, where);
  checkScheduler(process, where);
  return process.capabilities ? { ...process, capabilities: grantable(process.capabilities, warn) } : process;
}

const namespace = ({ linux }: ContainerSpec, type: NamespaceType) => linux.namespaces.find((one) => one.type === type);

function checkNamespaces(spec: ContainerSpec): void {
  const { namespaces, maskedPaths = [], readonlyPaths = [] } = spec.linux;
  namespaces.forEach(({ type }, index) => {
    if (namespaces.findIndex((one) => one.type === type) < index)
      refuse(`linux.namespaces[${index}]`, `the ${type} namespace is there twice`);
  });
  if (maskedPaths.length + readonlyPaths.length > 0 && !namespace(spec, "mount"))
    refuse(`linux.${maskedPaths.length > 0 ? "masked" : "readonly"}Paths`, "they need a mount namespace");
  const { uidMappings, gidMappings } = spec.linux;
  const user = namespace(spec, "user");
  if (!user && (uidMappings ?? gidMappings)) refuse("linux.uidMappings", "they need a user namespace");
  if (user && user.path === undefined && !(uidMappings?.length && gidMappings?.length))
    refuse("linux.uidMappings", "a new user namespace needs mappings of users and of groups");
  checkMappings("linux.uidMappings", uidMappings);
  checkMappings("linux.gidMappings", gidMappings);
}

/** As user_namespaces(7) has it: neither beyond the last id, nor twice. */
function checkMappings(where: string, mappings: readonly IdMapping[] = []): void {
  for (const from of ["containerID", "hostID"] as const) {
    const ordered = mappings.toSorted((a, b) => a[from] - b[from]);
    ordered.forEach((mapping, index) => {
      const end = mapping[from] + mapping.size;
      if (end > 2 ** 32) refuse(where, `ids from ${mapping[from]} on: ${mapping.size} are more than there are`);
      const next = ordered[index + 1];
      if (next && next[from] < end) refuse(where, `the ${from} ${next[from]} is mapped twice`);
    });
  }
}

/** `__NEW_UTS_LEN` */
const NAME_BYTES = 64;

function checkNames(spec: ContainerSpec): void {
  for (const name of ["hostname", "domainname"] as const) {
    if (spec[name] === undefined) continue;
    if (!namespace(spec, "uts")) refuse(name, "it needs a UTS namespace");
    if (Buffer.byteLength(spec[name]) > NAME_BYTES) refuse(name, `longer than ${NAME_BYTES} bytes`);
  }
}

function checkTime(spec: ContainerSpec): void {
  const time = namespace(spec, "time");
  if (!spec.linux.timeOffsets) return;
  if (!time) refuse("linux.timeOffsets", "they need a time namespace");
  if (time?.path !== undefined) refuse("linux.timeOffsets", "the time namespace has its own already");
}

function checkSysctls(spec: ContainerSpec): void {
  for (const [name, value] of Object.entries(spec.linux.sysctl ?? {})) {
    const where = `linux.sysctl[${show(name)}]`;
    if (isHostname(name)) refuse(where, "it conflicts with the hostname", "set the hostname");
    const type = namespaceOf(name) ?? refuse(where, "it is not in a separate kernel namespace");
    if (!namespace(spec, type)) refuse(where, `it is the host's without a ${type} namespace`);
    if (type === "uts" && ![undefined, value].includes(spec.domainname))
      refuse(where, `it conflicts with the domainname ${show(spec.domainname)}`);
  }
}

function checkNetDevices(spec: ContainerSpec): void {
  if (Object.keys(spec.linux.netDevices ?? {}).length > 0 && !namespace(spec, "network"))
    refuse("linux.netDevices", "they need a network namespace");
}

function checkMemoryPolicy({ linux: { memoryPolicy } }: ContainerSpec): void {
  if (!memoryPolicy) return;
  const { mode, nodes } = memoryPolicy;
  const count = nodes === undefined ? 0 : bits(listMask("invalid memory policy nodes", "nodes", nodes).data);
  const [none, any] = [["MPOL_DEFAULT", "MPOL_LOCAL"], ["MPOL_PREFERRED"]];
  if (none.includes(mode) && count > 0)
    refuse("linux.memoryPolicy", `memory policy mode requires 0 nodes but got ${count}`);
  if (!none.includes(mode) && !any.includes(mode) && count === 0)
    refuse("linux.memoryPolicy", "memory policy mode requires at least one node but got 0");
}

const bits = (mask: Uint8Array): number =>
  mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);

function checkListener({ linux: { seccomp } }: ContainerSpec): void {
  if (!seccomp) return;
  const { defaultAction, syscalls = [], listenerPath, listenerMetadata } = seccomp;
  const NOTIFY = "SCMP_ACT_NOTIFY";
  if (defaultAction === NOTIFY) refuse("linux.seccomp.defaultAction", `${NOTIFY} cannot be used as default action`);
  if (listenerPath !== undefined) return;
  if (syscalls.some(({ action }) => action === NOTIFY))
    refuse("linux.seccomp.listenerPath", `seccomp listenerPath is not set: ${NOTIFY} needs it`);
  if (listenerMetadata !== undefined) refuse("linux.seccomp.listenerMetadata", "it needs a listenerPath");
}

const isBelow = (soft: number | bigint, hard: number | bigint) => soft <= hard;

function checkRlimits({ rlimits = [] }: ContainerProcess, where: string): void {
  rlimits.forEach(({ type, soft, hard }, index) => {
    const at = `${where}rlimits[${index}]`;
    if (rlimits.findIndex((one) => one.type === type) < index) refuse(at, `${type} is there twice`);
    if (!isBelow(soft, hard)) refuse(at, `the soft limit ${soft} is above the hard one, ${hard}`);
  });
}

/** @see sched_setattr(2) */
function checkScheduler({ scheduler }: ContainerProcess, where: string): void {
  if (!scheduler) return;
  const { policy, nice = 0, priority = 0, runtime = 0, deadline = 0, period = 0 } = scheduler;
  const is = (...policies: string[]) => policies.includes(policy);
  if (is("SCHED_OTHER", "SCHED_BATCH") && (nice < -20 || nice > 19))
    refuse(`${where}scheduler.nice`, `${nice} is not a number from -20 to 19`);
  if (priority !== 0 && !is("SCHED_FIFO", "SCHED_RR"))
    refuse(`${where}scheduler.priority`, "only SCHED_FIFO and SCHED_RR have one");
  if (!is("SCHED_DEADLINE") && [runtime, deadline, period].some((time) => time !== 0))
    refuse(`${where}scheduler`, "only SCHED_DEADLINE has runtime, deadline and period");
  if (is("SCHED_DEADLINE")) checkDeadline(scheduler, where);
}

/** In nanoseconds, as the kernel has them. @see sched_setattr(2) */
const [LEAST_NS, MOST_NS] = [1024, 2n ** 63n - 1n];

/** What crun says of them, since the kernel says only that something is wrong. */
function checkDeadline({ runtime, deadline, period }: Scheduler, where: string): void {
  const wrong = (why: string) => refuse(`${where}scheduler`, `sched_setattr: \`SCHED_DEADLINE\` ${why}`);
  if (runtime === undefined) return wrong("requires `runtime`");
  if (deadline === undefined) return wrong("requires `deadline`");
  if (runtime === 0) return wrong("runtime must be greater than 0");
  if (runtime < LEAST_NS || runtime > MOST_NS)
    return wrong(`runtime ${runtime} must be between ${LEAST_NS} and ${MOST_NS}`);
  if (runtime > deadline) return wrong(`runtime ${runtime} must be <= deadline ${deadline}`);
  if (period && deadline > period) return wrong(`deadline ${deadline} must be <= period ${period}`);
}

/** Those that there are; and of the ambient ones, those that can be. @see capabilities(7) */
function grantable(sets: CapabilitySets, warn: Warn): CapabilitySets {
  const unknown = new Set<string>();
  const known = (names: readonly string[]) =>
    names.filter((name) => CAPABILITIES.includes(name) || (unknown.add(name), false));
  const granted: CapabilitySets = Object.fromEntries(
    Object.entries(sets as Record<string, readonly string[]>).map(([set, names]) => [set, known(names)]),
  );
  if (unknown.size > 0) warn(`ignoring unknown or unavailable capabilities: ${show([...unknown].toSorted())}`);
  const { ambient, permitted = [], inheritable = [] } = granted;
  if (!ambient) return granted;
  const raised = ambient.filter((name) => {
    const can = permitted.includes(name) && inheritable.includes(name);
    if (!can) warn(`can't raise ambient capability ${name}: it is not both permitted and inheritable`);
    return can;
  });
  return { ...granted, ambient: raised };
}

function mountsOf({ mounts }: ContainerSpec, warn: Warn): ContainerSpec["mounts"] {
  return mounts.map((mount) => {
    if (mount.destination.startsWith("/")) return mount;
    warn(`mount destination ${show(mount.destination)} is not absolute: used as relative to "/"`);
    return { ...mount, destination: `/${mount.destination}` };
  });
}

function linuxOf(spec: ContainerSpec, warn: Warn): ContainerSpec["linux"] {
  const linux = { ...spec.linux };
  if (linux.personality?.flags?.length) {
    warn(`ignoring unsupported personality flags: ${show(linux.personality.flags)}`);
    linux.personality = { domain: linux.personality.domain };
  }
  if (linux.uidMappings && namespace(spec, "user")?.path !== undefined) {
    warn("config.json has both a user namespace to join and mappings: those of the namespace count");
    delete linux.uidMappings;
    delete linux.gidMappings;
  }
  return linux;
}
