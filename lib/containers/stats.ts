/** What containers use, as the kernel counts it. @module @see https://docs.docker.com/reference/cli/docker/container/stats/ */
import { checkOptions } from "../options/index.ts";
import { readKernelFile } from "../../syscalls/index.ts";
import { ContainerCgroup, type ContainerStats as GroupStats } from "../cgroup/index.ts";
import { bytesThrough } from "../network/index.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { networkModeOf } from "./host-config.ts";
import { networkPolicyOf } from "./network-options.ts";
import { pidsOf, processFacts } from "./processes.ts";
import type { ContainerRecord } from "./record.ts";
import { parseDuration, type StatsOptions } from "../sandbox/index.ts";

export type ContainerStatsOptions = StatsOptions;

export interface ContainerStats {
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  time: number;
  /** Of one CPU, in percent, since the one before. */
  cpuPercent: number;
  cpuMs: number;
  /** Without what could be given back at once: pages of files that nobody has looked at for long. */
  memoryBytes: number;
  memoryLimitBytes: number;
  networkInBytes: number;
  networkOutBytes: number;
  blockInBytes: number;
  blockOutBytes: number;
  pids: number;
}

/** For the first percentage. */
const FIRST_MS = 250;

/** As long as it runs; nothing where it does not. @throws TsboxError `container_not_found`, `invalid_option` */
export async function* stats(
  home: Home,
  id: string,
  options: ContainerStatsOptions = {},
): AsyncGenerator<ContainerStats, void, void> {
  checkOptions("stats", options, { interval: "duration", signal: "signal" });
  const { interval = "1s", signal } = options;
  const intervalMs = parseDuration("use the interval", interval);
  let before: Counted | undefined;
  for (;;) {
    const record = recordOf(home, id);
    if (record.status !== "running" && record.status !== "paused") return;
    const now = count(record, await throughNetwork(home, record));
    if (before) yield statsOf(record, before, now);
    const waitMs = before ? intervalMs : Math.min(FIRST_MS, intervalMs);
    before = now;
    await passed(waitMs, signal);
    if (signal?.aborted) return;
  }
}

function passed(ms: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const abort = () => resolve();
  signal?.addEventListener("abort", abort, { once: true });
  if (signal?.aborted) resolve();
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  });
}

type Through = ReturnType<typeof bytesThrough>;
type Counted = Omit<ContainerStats, "id" | "name" | "cpuPercent">;

/** Pure. */
export function statsOf(
  { id, name }: Pick<ContainerRecord, "id" | "name">,
  before: Counted,
  now: Counted,
): ContainerStats {
  const ms = now.time - before.time;
  const cpuPercent = ms > 0 ? Math.max(0, (100 * (now.cpuMs - before.cpuMs)) / ms) : 0;
  return { id, name, cpuPercent, ...now };
}

async function throughNetwork(home: Home, { id, pid, options }: ContainerRecord): Promise<Through> {
  // it has no device but its loopback
  if (networkPolicyOf(options)) return (await import("./policies.ts")).policyTraffic(home, id);
  const isHost = networkModeOf(options) === "host";
  return bytesThrough((isHost ? undefined : readKernelFile(`/proc/${pid}/net/dev`)) ?? "");
}

function count(record: ContainerRecord, { inBytes, outBytes }: Through): Counted {
  const group = groupStats(record);
  const own = group?.cpu.usage && group.memory.usage ? undefined : processesOf(record);
  const blocks = group?.blkio.ioServiceBytesRecursive ?? [];
  const blockBytes = (kind: string) =>
    blocks.reduce((sum, { op, value }) => sum + (op === kind && typeof value === "number" ? value : 0), 0);
  const total = group?.cpu.usage?.total;
  return {
    time: Date.now(),
    cpuMs: group?.cpu.usage ? (typeof total === "number" ? total / 1e6 : 0) : (own?.cpuMs ?? 0),
    memoryBytes: (group && memoryOf(group)) ?? own?.memoryBytes ?? 0,
    memoryLimitBytes: limitOf(group),
    networkInBytes: inBytes,
    networkOutBytes: outBytes,
    blockInBytes: blockBytes("Read"),
    blockOutBytes: blockBytes("Write"),
    pids: typeof group?.pids.current === "number" ? group.pids.current : (own ?? processesOf(record)).pids,
  };
}

/** Undefined where it has none, or they are gone. */
function groupStats({ cgroup }: ContainerRecord): GroupStats | undefined {
  if (!cgroup?.made) return undefined;
  try {
    return new ContainerCgroup(cgroup).stats();
  } catch {
    return undefined;
  }
}

function processesOf(record: ContainerRecord): { cpuMs: number; memoryBytes: number; pids: number } {
  const all = pidsOf(record).flatMap((pid) => processFacts(pid) ?? []);
  return {
    cpuMs: all.reduce((sum, { userMs, systemMs }) => sum + userMs + systemMs, 0),
    memoryBytes: all.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    pids: all.reduce((sum, { threads }) => sum + threads, 0),
  };
}

function memoryOf({ memory }: GroupStats): number | undefined {
  const usage = memory.usage?.usage;
  if (memory.usage === undefined) return undefined;
  const { total_inactive_file: v1, inactive_file: v2 } = memory.raw ?? {};
  const inactive = v1 ?? v2;
  const used = typeof usage === "number" ? usage : 0;
  return typeof inactive === "number" && inactive < used ? used - inactive : used;
}

/** What the machine has, where there is none. */
function limitOf(group: GroupStats | undefined): number {
  const machine = Number(/^MemTotal:\s*(\d+)/m.exec(readKernelFile("/proc/meminfo") ?? "")?.[1] ?? 0) * 1024;
  const limit = group?.memory.usage?.limit;
  return typeof limit === "number" && limit > 0 && limit < machine ? limit : machine;
}
