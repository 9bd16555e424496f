/** Processes of a container, as the host's /proc has them. @module @see proc_pid_stat(5) */
import { namesIn, readKernelFile, readLink } from "../../syscalls/index.ts";
import { ContainerCgroup } from "../cgroup/index.ts";
import type { ContainerRecord } from "./record.ts";

export interface ProcessFacts {
  pid: number;
  /** In the pid namespaces that it is in, the innermost last. */
  pids: number[];
  comm: string;
  /** The words that it was executed with; none of what is no program any more. */
  words: string[];
  /** One letter: R, S, D, Z, T, … */
  state: string;
  parent: number;
  group: number;
  session: number;
  /** As the kernel numbers it; 0: none. */
  terminal: number;
  foreground: number;
  flags: number;
  minorFaults: number;
  majorFaults: number;
  userMs: number;
  systemMs: number;
  priority: number;
  nice: number;
  threads: number;
  /** Since the machine has started. */
  startMs: number;
  virtualBytes: number;
  residentBytes: number;
  cpu: number;
  policy: number;
  /** On the host: real and effective. */
  ruid: number;
  uid: number;
  rgid: number;
  gid: number;
  lockedBytes: number;
}

/** Of the kernel's clock ticks: always 100 in a second. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;
const KIB = 1024;

/** Undefined for one that is gone. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const [stat, status] = [readKernelFile(`/proc/${pid}/stat`), readKernelFile(`/proc/${pid}/status`)];
  if (stat === undefined || status === undefined) return undefined;
  return parseProcess(stat, status, readKernelFile(`/proc/${pid}/cmdline`) ?? "");
}

/** What files of /proc/PID say. Pure. */
export function parseProcess(stat: string, status: string, cmdline: string): ProcessFacts {
  // the name may contain anything
  const [open, close] = [stat.indexOf("("), stat.lastIndexOf(")")];
  const fields = stat
    .slice(close + 2)
    .trim()
    .split(" ");
  const number = (index: number) => Number(fields[index] ?? 0);
  const line = (name: string) =>
    (new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "").split(/\s+/).map(Number);
  const [ruid = 0, uid = 0] = line("Uid");
  const [rgid = 0, gid = 0] = line("Gid");
  const pid = Number(stat.slice(0, open));
  const pids = line("NSpid");
  return {
    pid,
    pids: pids.every((each) => each > 0) ? pids : [pid],
    comm: stat.slice(open + 1, close),
    words: cmdline === "" ? [] : cmdline.replace(/\0$/, "").split("\0"),
    state: fields[0] ?? "?",
    parent: number(1),
    group: number(2),
    session: number(3),
    terminal: number(4),
    foreground: number(5),
    flags: number(6),
    minorFaults: number(7),
    majorFaults: number(9),
    userMs: number(11) * TICK_MS,
    systemMs: number(12) * TICK_MS,
    priority: number(15),
    nice: number(16),
    threads: number(17),
    startMs: number(19) * TICK_MS,
    virtualBytes: number(20),
    residentBytes: number(21) * PAGE_BYTES,
    cpu: number(36),
    policy: number(38),
    ruid,
    uid,
    rgid,
    gid,
    lockedBytes: (line("VmLck")[0] || 0) * KIB,
  };
}

/** In the order of their pids. Those in its control groups, or, where it has none, in its pid namespace. */
export function pidsOf({ pid, cgroup }: Pick<ContainerRecord, "pid" | "cgroup">): number[] {
  if (pid <= 0) return [];
  const inGroups = cgroup?.made ? groupPids(cgroup) : [];
  return inGroups.length > 0 ? inGroups : relatives(pid);
}

function groupPids(cgroup: NonNullable<ContainerRecord["cgroup"]>): number[] {
  try {
    return new ContainerCgroup(cgroup).pids();
  } catch {
    return []; // they are not of this machine any more
  }
}

/** What comes from its init, or says that it is in the same pid namespace. */
function relatives(init: number): number[] {
  const all = namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const namespace = readLink(`/proc/${init}/ns/pid`);
  const parents = new Map(
    all.map((pid) => {
      const stat = readKernelFile(`/proc/${pid}/stat`) ?? "";
      return [pid, Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ", 1)[0] ?? 0)];
    }),
  );
  const isBelow = (pid: number): boolean => {
    for (let [at, depth] = [pid, 0]; at > 1 && depth < parents.size; at = parents.get(at) ?? 0, depth++) {
      if (at === init) return true;
    }
    return false;
  };
  const isBeside = (pid: number) => namespace !== undefined && readLink(`/proc/${pid}/ns/pid`) === namespace;
  return all.filter((pid) => isBelow(pid) || isBeside(pid)).toSorted((a, b) => a - b);
}
