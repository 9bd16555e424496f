/** What is left of a thousand sandboxes. @module */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { ownNetwork, sandboxed } from "./contenders.ts";
import { table, type Bar } from "./report.ts";

const AT_A_TIME = 8;
/** Of one measurement to the next, in memory that the engine had before: pages that the allocator keeps or gives back. */
const RSS_TOLERANCE_BYTES = 4 * 1024 * 1024;

/** @param count of sandboxes between the two looks; a fifth of it runs before the first */
export async function leftovers(rootfs: string, count: number): Promise<Bar[]> {
  const { run } = sandboxed("Sandbox.run", ownNetwork(rootfs));
  const runMany = async (left: number) => {
    const worker = async () => {
      while (left-- > 0) await run();
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    await settle();
  };
  await runMany(Math.ceil(count / 5));
  const before = look();
  await runMany(count);
  const after = look();
  const names = Object.keys(before) as (keyof typeof before)[];
  console.log(`### Left of ${count} sandboxes\n`);
  console.log(
    table(
      ["", "before", "after"],
      names.map((n) => [n, unit(n, before[n]), unit(n, after[n])]),
    ) + "\n",
  );
  const grown = names.filter((n) => after[n] > before[n] + (n === "resident memory" ? RSS_TOLERANCE_BYTES : 0));
  return [
    {
      measure: `left of ${count} sandboxes: memory, descriptors, children, cgroups, mounts, namespaces`,
      bar: "nothing",
      measured: grown.length === 0 ? "nothing" : grown.join(", "),
      holds: grown.length === 0,
    },
  ];
}

const unit = (name: string, value: number) =>
  name === "resident memory" ? `${(value / 2 ** 20).toFixed(1)} MiB` : value;

/** The kernel ends namespaces when everybody else is done, and JavaScript frees memory when it likes. */
async function settle(): Promise<void> {
  await Bun.sleep(300);
  Bun.gc(true);
  await Bun.sleep(50);
  Bun.gc(true);
}

/** Of the whole machine, where it can be seen. */
function look() {
  return {
    "resident memory": process.memoryUsage.rss(),
    descriptors: readdirSync("/proc/self/fd").length,
    "child processes": readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").split(" ").filter(Boolean)
      .length,
    cgroups: cgroups("/sys/fs/cgroup"),
    mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
    namespaces: namespaces(),
  };
}

function cgroups(directory: string): number {
  let count = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    // one that somebody else removes meanwhile is none
    if (entry.isDirectory()) count += 1 + attempt(() => cgroups(join(directory, entry.name)), 0);
  }
  return count;
}

/** Distinct ones that some process is in, as lsns(8) counts. */
function namespaces(): number {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const type of attempt(() => readdirSync(`/proc/${pid}/ns`), [])) {
      // of a process that has ended
      attempt(() => void found.add(readlinkSync(`/proc/${pid}/ns/${type}`)), undefined);
    }
  }
  return found.size;
}

function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}
