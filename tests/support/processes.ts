/** What there is on this machine that a sandbox could have left behind. @module */
import { afterAll } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { trySyscall } from "../../syscalls/index.ts";

export interface ProcessEntry {
  pid: number;
  parent: number;
  name: string;
  state: string;
}

/** Every process that this one can see. */
export function processes(): ProcessEntry[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const end = stat.lastIndexOf(")");
      const [state = "", parent] = stat.slice(end + 2).split(" ");
      return [{ pid: Number(entry), parent: Number(parent), name: stat.slice(stat.indexOf("(") + 1, end), state }];
    } catch {
      return []; // it has ended
    }
  });
}

/** Processes below this one, zombies included. */
export function descendants(of = process.pid): ProcessEntry[] {
  const all = processes();
  const below = (pid: number): ProcessEntry[] =>
    all.filter(({ parent }) => parent === pid).flatMap((child) => [child, ...below(child.pid)]);
  return below(of);
}

/**
 * Orphans of processes that this one started become its own children, and so do not escape {@link descendants}. Those
 * that have ended by the end of the test file are none of the next one's.
 */
export function adoptOrphans(): void {
  const PR_SET_CHILD_SUBREAPER = 36;
  if (trySyscall("prctl", PR_SET_CHILD_SUBREAPER, 1) < 0) throw new Error("cannot become a subreaper");
  afterAll(async () => {
    await eventually(() => (reapOrphans(), !descendants().some(isZombie)), 2000);
    trySyscall("prctl", PR_SET_CHILD_SUBREAPER, 0); // those of the files to come are not looked for
  });
}

const isZombie = ({ state }: ProcessEntry) => state === "Z";

/** Takes the exit status of adopted orphans that have ended. @param own a child that somebody else waits for */
export function reapOrphans(own?: number): void {
  const WNOHANG = 1;
  for (const { pid, parent, state } of descendants()) {
    if (parent === process.pid && state === "Z" && pid !== own) trySyscall("wait4", pid, 0, WNOHANG);
  }
}

/** Waits until it is true. @returns whether it became so in time */
export async function eventually(holds: () => boolean, timeoutMs = 10_000): Promise<boolean> {
  for (const end = performance.now() + timeoutMs; performance.now() < end; await Bun.sleep(5)) {
    if (holds()) return true;
  }
  return holds();
}

/** Number → what it is, of this process. */
export function descriptors(): Map<number, string> {
  const found = new Map<number, string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      found.set(Number(fd), readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // the directory's own
    }
  }
  return found;
}

/** Control groups that this process, or another owner, has made and that are still there. */
export function cgroups(owner = process.pid): string[] {
  const found: string[] = [];
  const look = (directory: string, depth: number) => {
    for (const entry of entriesOf(directory)) {
      if (!entry.isDirectory()) continue;
      const path = `${directory}/${entry.name}`;
      if (new RegExp(`^tsbox-\\d+-${owner}-`).test(entry.name)) found.push(path);
      else if (depth < 6) look(path, depth + 1);
    }
  };
  look("/sys/fs/cgroup", 0);
  return found;
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return []; // gone in between
  }
}

const lines = (file: string): string[] => readFileSync(file, "utf8").trim().split("\n");

/** Mounts that this process sees, and network interfaces. */
export const mounts = (): string[] => lines("/proc/self/mounts");
export const interfaces = (): string[] =>
  lines("/proc/net/dev")
    .slice(2)
    .map((line) => line.split(":")[0]?.trim() ?? "");
