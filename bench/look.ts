/** What this process, and the sandboxes that it has made, take of the machine. @module */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { table } from "./report.ts";

export type Look = ReturnType<typeof look>;

/** The kernel ends namespaces when everybody else is done, and JavaScript frees memory when it likes. */
export async function settle(): Promise<void> {
  await Bun.sleep(300);
  Bun.gc(true);
  await Bun.sleep(50);
  Bun.gc(true);
}

export function look() {
  return {
    "resident memory": process.memoryUsage.rss(),
    descriptors: readdirSync("/proc/self/fd").length,
    "child processes": children(process.pid).length,
    cgroups: cgroups("/sys/fs/cgroup"),
    mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
    namespaces: namespaces(),
  };
}

/** What there is more of. @param memoryBytes may come on top: pages that the allocator keeps or gives back */
export function grown(before: Look, after: Look, memoryBytes: number): string[] {
  const names = Object.keys(before) as (keyof Look)[];
  return names.filter((name) => after[name] > before[name] + (name === "resident memory" ? memoryBytes : 0));
}

export function lookTable(looks: Record<string, Look>): string {
  const names = Object.keys(Object.values(looks)[0] as Look) as (keyof Look)[];
  const unit = (name: string, value: number) =>
    name === "resident memory" ? `${(value / 2 ** 20).toFixed(1)} MiB` : value;
  const rows = names.map((name) => [name, ...Object.values(looks).map((each) => unit(name, each[name]))]);
  return table(["", ...Object.keys(looks)], rows);
}

function children(pid: number): string[] {
  return attempt(() => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean), []);
}

/** Those that are named as this process's. */
function cgroups(directory: string): number {
  let count = 0;
  // one that somebody else removes meanwhile is none
  for (const entry of attempt(() => readdirSync(directory, { withFileTypes: true }), [])) {
    if (!entry.isDirectory()) continue;
    count += new RegExp(`^tsbox-\\d+-${process.pid}-`).test(entry.name) ? 1 : 0;
    count += cgroups(join(directory, entry.name));
  }
  return count;
}

/** Distinct ones that this process or one below it is in, as lsns(8) counts. */
function namespaces(): number {
  const found = new Set<string>();
  const visit = (pid: number) => {
    for (const type of attempt(() => readdirSync(`/proc/${pid}/ns`), [])) {
      // of a process that has ended
      attempt(() => void found.add(readlinkSync(`/proc/${pid}/ns/${type}`)), undefined);
    }
    for (const child of children(pid)) visit(Number(child));
  };
  visit(process.pid);
  return found.size;
}

function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}
