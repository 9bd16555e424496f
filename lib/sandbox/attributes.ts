/** Attributes of a request's processes and namespaces, as the specification has them. @module */
import { show } from "../../syscalls/index.ts";
import { cpuMask, IO_CLASSES, PERSONALITIES, POLICIES, SCHEDULER_FLAGS } from "../plan/index.ts";
import type { Linux, Process, Scheduler } from "../spec/index.ts";
import { checkArray, checkChoice, checkInteger, checkKeys, checkObject, checkText, invalid } from "../options/index.ts";
import type { SandboxOptions } from "./options.ts";
import { findGroup, MAX_ID, type Accounts } from "../accounts/index.ts";

const SCHEDULER_KEYS = ["policy", "nice", "priority", "flags", "runtime", "deadline", "period"];
const MAX_DOMAINNAME_BYTES = 64;

/** What a process has besides its user and its environment; nothing where nothing is asked for. */
export function attributesOf({ scheduler, ioPriority, cpuAffinity, oomScoreAdj }: SandboxOptions): Partial<Process> {
  const process: Partial<Process> = {};
  if (oomScoreAdj !== undefined) process.oomScoreAdj = checkInteger("OOM score", oomScoreAdj, -1000, 1000);
  if (scheduler !== undefined) process.scheduler = schedulerOf(scheduler);
  if (ioPriority !== undefined) process.ioPriority = ioPriorityOf(ioPriority);
  if (cpuAffinity !== undefined) {
    cpuMask(checkText("CPUs", cpuAffinity));
    process.execCPUAffinity = { initial: cpuAffinity, final: cpuAffinity };
  }
  return process;
}

/** @throws TsboxError `invalid_option`, `user_not_found` */
export function additionalGidsOf({ groups }: SandboxOptions, accounts: Accounts): number[] {
  if (groups === undefined) return [];
  return checkArray("groups", groups).map((group) =>
    findGroup(
      typeof group === "number" ? String(checkInteger("group", group, 0, MAX_ID)) : checkText("group", group),
      accounts,
    ),
  );
}

export function umaskOf({ umask }: SandboxOptions): number | undefined {
  return umask === undefined ? undefined : checkInteger("umask", umask, 0, 0o777);
}

/** Of the sandbox, rather than of a process. @param usual sysctls where nothing else is said of them */
export function kernelAttributesOf(
  { personality, sysctls, timeOffsets }: SandboxOptions,
  usual: Linux["sysctl"],
): Partial<Linux> {
  const linux: Partial<Linux> = {};
  if (timeOffsets !== undefined) linux.timeOffsets = timeOffsetsOf(timeOffsets);
  if (personality !== undefined)
    linux.personality = { domain: checkChoice("personality", personality, ...namesOf(PERSONALITIES)) };
  if (sysctls !== undefined) {
    checkObject("sysctls", sysctls, '{ "net.ipv4.ip_forward": "1" }');
    for (const [name, value] of Object.entries(sysctls)) checkText(`value of the sysctl ${show(name)}`, value);
  }
  if (usual ?? sysctls) linux.sysctl = { ...usual, ...sysctls };
  return linux;
}

const MAX_PING_GROUP = 0x7fffffff;

/**
 * As Docker's: every user has all ports of the sandbox's own network, and may ping from it.
 * @param mapped gids of its user namespace: the kernel takes no others; undefined for the host's
 * @see ip(7): ip_unprivileged_port_start, icmp(7): ping_group_range
 */
export function networkSysctls(mapped: Linux["gidMappings"]): Record<string, string> {
  const lines = (mapped ?? [{ containerID: 0, size: MAX_PING_GROUP + 1 }])
    .filter(({ containerID }) => containerID <= MAX_PING_GROUP)
    .map(({ containerID, size }) => [containerID, Math.min(containerID + size - 1, MAX_PING_GROUP)] as const);
  const from = Math.min(...lines.map(([first]) => first));
  const to = Math.max(...lines.map(([, last]) => last));
  return {
    "net.ipv4.ip_unprivileged_port_start": "0",
    ...(lines.length > 0 ? { "net.ipv4.ping_group_range": `${from} ${to}` } : {}),
  };
}

export function domainnameOf({ domainname, namespaces }: SandboxOptions): { domainname?: string } {
  if (domainname === undefined) return {};
  checkText("domain name", domainname);
  if (domainname === "" || new TextEncoder().encode(domainname).length > MAX_DOMAINNAME_BYTES)
    throw invalid(`use the domain name ${show(domainname)}: 1 to 64 bytes`);
  if ((namespaces?.uts ?? "private") !== "private")
    throw invalid("use a domain name in a shared UTS namespace: it would be that of others");
  return { domainname };
}

function timeOffsetsOf(wanted: unknown): NonNullable<Linux["timeOffsets"]> {
  checkKeys("time offset", wanted, ["monotonic", "boottime"]);
  for (const [clock, offset] of Object.entries(wanted as object)) {
    checkKeys(`offset of the ${clock} clock`, offset, ["secs", "nanosecs"]);
    const { secs, nanosecs = 0 } = offset as { secs: unknown; nanosecs?: unknown };
    checkInteger(`seconds of the ${clock} clock`, secs, -(2 ** 40), 2 ** 40);
    checkInteger(`nanoseconds of the ${clock} clock`, nanosecs, 0, 999_999_999);
  }
  return wanted as NonNullable<Linux["timeOffsets"]>;
}

const namesOf = <Name extends string>(table: Record<Name, number>): Name[] => Object.keys(table) as Name[];

function ioPriorityOf(ioPriority: unknown): NonNullable<Process["ioPriority"]> {
  checkKeys("I/O priority", ioPriority, ["class", "priority"]);
  const wanted = ioPriority as NonNullable<Process["ioPriority"]>;
  if (wanted.class === undefined) throw invalid("use an I/O priority without a class", namesOf(IO_CLASSES).join(", "));
  return {
    class: checkChoice("I/O class", wanted.class, ...namesOf(IO_CLASSES)),
    priority: checkInteger("I/O priority", wanted.priority ?? 0, 0, 7),
  };
}

const isRealTime = (policy: string) => policy === "SCHED_FIFO" || policy === "SCHED_RR";

function schedulerOf(wanted: unknown): Scheduler {
  checkKeys("scheduler", wanted, SCHEDULER_KEYS);
  const { policy, flags, nice, priority, runtime, deadline, period } = wanted as Scheduler;
  if (policy === undefined) throw invalid("use a scheduler without a policy", namesOf(POLICIES).join(", "));
  const scheduler: Scheduler = { policy: checkChoice("scheduling policy", policy, ...namesOf(POLICIES)) };
  if (nice !== undefined) scheduler.nice = checkInteger("nice value", nice, -20, 19);
  if (priority !== undefined) {
    if (!isRealTime(policy))
      throw invalid(`use a scheduling priority with ${policy}: only SCHED_FIFO and SCHED_RR have one`);
    scheduler.priority = checkInteger("scheduling priority", priority, 1, 99);
  } else if (isRealTime(policy)) throw invalid(`use ${policy} without a priority`, "a priority from 1 to 99");
  for (const [name, value] of Object.entries({ runtime, deadline, period })) {
    if (value === undefined) continue;
    if (policy !== "SCHED_DEADLINE")
      throw invalid(`use the ${name} of a scheduler with ${policy}: only SCHED_DEADLINE has one`);
    scheduler[name as "runtime"] = checkInteger(`${name} in nanoseconds`, value, 0, Number.MAX_SAFE_INTEGER);
  }
  if (flags === undefined) return scheduler;
  scheduler.flags = checkArray("scheduling flags", flags).map((flag) =>
    checkChoice("scheduling flag", flag, ...namesOf(SCHEDULER_FLAGS)),
  );
  return scheduler;
}
