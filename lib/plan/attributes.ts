/**
 * How the kernel treats the command's process: personality, scheduler, priorities and CPUs. All of it is inherited
 * through execve(2), and by what the command starts.
 * @module
 * @see personality(2), sched_setattr(2), ioprio_set(2), sched_setaffinity(2)
 */
import { named, show, structure, STRUCTS, TsboxError } from "../../syscalls/index.ts";
import type { Data, Op, Plan, Step } from "../../syscalls/index.ts";
import type { IoClass, Scheduler, SchedulerFlag, SchedulerPolicy, Spec } from "../spec/index.ts";

export const PERSONALITIES = { LINUX: 0, LINUX32: 8 } as const;

/** By their numbers in linux/sched.h. */
export const POLICIES: Record<SchedulerPolicy, number> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

export const SCHEDULER_FLAGS: Record<SchedulerFlag, number> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};

/** By their numbers in linux/ioprio.h. */
export const IO_CLASSES: Record<IoClass, number> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };

const denied = (what: string) => (errno: string | undefined) =>
  errno === "EPERM"
    ? `${what} only with rights on the host: as root, without a user namespace (namespaces.user "host")`
    : undefined;
const IN_REAL_TIME: readonly string[] = ["SCHED_FIFO", "SCHED_RR"];
/** Of version 1, where the kernel has groups of real time: a new one has none. */
const REAL_TIME = "and in a CPU group of cgroup version 1 real time takes linux.resources.cpu.realtimeRuntime";

export function attributeSteps({ process, linux: { personality } }: Spec): Plan {
  const steps: Plan = [];
  if (personality) steps.push(personalityStep(personality.domain));
  if (process.execCPUAffinity?.final !== undefined) steps.push(affinityStep(process.execCPUAffinity.final));
  if (process.ioPriority) steps.push(ioPriorityStep(process.ioPriority));
  if (process.scheduler) steps.push(schedulerStep(process.scheduler));
  return steps;
}

/** The number of a word of the specification. */
function numberOf<Word extends string>(what: string, word: Word, table: Record<Word, number>): number {
  if (!Object.hasOwn(table, word)) {
    const hint = Object.keys(table).join(", ");
    throw new TsboxError(`use the ${what} ${show(word)}: unknown`, { code: "invalid_option", hint });
  }
  return table[word];
}

function personalityStep(domain: keyof typeof PERSONALITIES): Step {
  const value = named(`PER_${domain}`, numberOf("personality", domain, PERSONALITIES));
  return { action: `take the personality ${domain}`, ops: [{ call: "personality", args: [value] }] };
}

/** @param list as in cpuset(7): `"0-3,7"` */
export function affinityStep(list: string): Step {
  const mask = cpuMask(list);
  return {
    action: `run on the CPUs ${list}`,
    ops: [{ call: "sched_setaffinity", args: [0, mask.data.length, mask] }],
    code: "limit_unavailable",
    hint: (errno) =>
      errno === "EINVAL" ? "the machine has none of these CPUs, or they are not the caller's" : undefined,
  };
}

/** Whatever its maker runs on, as `taskset` may have said: of all CPUs, the kernel takes those that the cgroup has. */
export const anyCpuStep = (): Step => {
  const every = cpuMask(`0-${MAX_NUMBERS - 1}`);
  return {
    action: "run on any CPU of the cgroup",
    ops: [{ call: "sched_setaffinity", args: [0, every.data.length, every], onError: "ignore" }],
  };
};

/** @throws TsboxError `invalid_option` */
export const cpuMask = (list: string): Data => listMask("use the CPUs", "CPUs", list);

/** Of CPUs, and of memory nodes. */
const MAX_NUMBERS = 8192;

/** The bits of a list as in cpuset(7), in words of 64. @throws TsboxError `invalid_option` */
export function listMask(action: string, what: string, list: string): Data {
  const refused = (why: string) =>
    new TsboxError(`${action} ${show(list)}: ${why}`, {
      code: "invalid_option",
      hint: 'numbers and ranges of them: "0-3,7"',
    });
  const bytes = new Uint8Array(MAX_NUMBERS / 8);
  let last = 0;
  for (const part of list.split(",")) {
    const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (from === undefined) throw refused("not understood");
    const [first, end] = [Number(from), Number(to)];
    if (first > end) throw refused(`the range ${part.trim()} ends before it begins`);
    if (end >= MAX_NUMBERS) throw refused(`there are no ${what} above ${MAX_NUMBERS - 1}`);
    for (let each = first; each <= end; each++) bytes[each >> 3]! |= 1 << (each & 7);
    last = Math.max(last, end);
  }
  return { data: bytes.slice(0, (Math.floor(last / 64) + 1) * 8), text: `[${list}]` };
}

function ioPriorityStep({ class: ioClass, priority }: NonNullable<Spec["process"]["ioPriority"]>): Step {
  const IOPRIO_WHO_PROCESS = named("IOPRIO_WHO_PROCESS", 1);
  const value = named(`${ioClass}:${priority}`, (numberOf("I/O class", ioClass, IO_CLASSES) << 13) | priority);
  return {
    action: `set the I/O priority to ${ioClass} ${priority}`,
    ops: [{ call: "ioprio_set", args: [IOPRIO_WHO_PROCESS, 0, value] }],
    code: "permission_denied",
    hint: denied("the class of real time can be had"),
  };
}

/** As runc says it. */
const ALL_CPUS =
  "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE is of all CPUs of the machine";

function schedulerStep(scheduler: Scheduler): Step {
  const { policy, nice = 0, priority = 0, runtime = 0, deadline = 0, period = 0 } = scheduler;
  const attr = structure(`{${schedulerText(scheduler)}}`, "sched_attr", {
    size: STRUCTS.sched_attr.size,
    sched_policy: numberOf("scheduling policy", policy, POLICIES),
    sched_flags: (scheduler.flags ?? []).reduce(
      (sum, flag) => sum | numberOf("scheduling flag", flag, SCHEDULER_FLAGS),
      0,
    ),
    sched_nice: nice,
    sched_priority: priority,
    sched_runtime: runtime,
    sched_deadline: deadline,
    sched_period: period,
  });
  const ops: Op[] = [{ call: "sched_setattr", args: [0, attr, 0] }];
  return {
    action: `schedule by ${policy}`,
    ops,
    code: "permission_denied",
    hint: (errno) => {
      if (errno === "EINVAL") return "the kernel refuses this policy, or these numbers for it";
      if (errno === "EPERM" && policy === "SCHED_DEADLINE") return `${ALL_CPUS}; and it takes root on the host`;
      const hint = denied("real-time policies and a nice value below the caller's can be had")(errno);
      return hint && IN_REAL_TIME.includes(policy) ? `${hint}; ${REAL_TIME}` : hint;
    },
  };
}

const schedulerText = (scheduler: Scheduler): string =>
  Object.entries(scheduler)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(", ");
