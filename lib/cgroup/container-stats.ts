/**
 * What a container has used, as `runc events --stats` prints it, from either version; what is zero is mostly left out.
 * @module
 * @see https://github.com/opencontainers/runc/blob/v1.3.0/types/events.go
 */
import { namesIn, readKernelFile } from "../../syscalls/index.ts";
import type { Directory } from "./counters.ts";
import { readCpuTime } from "./counters.ts";
import { listOf } from "./cpu-list.ts";
import type { Controller } from "./settings.ts";

/** Where it does not fit into a number, it prints as it was read: see `JSON.rawJSON`. */
export type Amount = number | { rawJSON: string };

export interface MemoryEntry {
  limit: Amount;
  usage?: Amount;
  max?: Amount;
  failcnt: Amount;
}

export interface Pressure {
  avg10: number;
  avg60: number;
  avg300: number;
  total: Amount;
}

export interface Pressures {
  some?: Pressure;
  full?: Pressure;
}

export interface BlkioEntry {
  major?: number;
  minor?: number;
  op?: string;
  value?: Amount;
}

export interface ContainerStats {
  cpu: {
    usage?: {
      total?: Amount;
      percpu?: Amount[];
      percpu_kernel?: Amount[];
      percpu_user?: Amount[];
      kernel: Amount;
      user: Amount;
    };
    throttling?: { periods?: Amount; throttledPeriods?: Amount; throttledTime?: Amount };
    psi?: Pressures;
  };
  cpuset: { cpus?: number[]; mems?: number[] } & Record<CpusetFlag, Amount>;
  memory: {
    cache?: Amount;
    usage?: MemoryEntry;
    swap?: MemoryEntry;
    kernel?: MemoryEntry;
    kernelTCP?: MemoryEntry;
    raw?: Record<string, Amount>;
    psi?: Pressures;
  };
  pids: { current?: Amount; limit?: Amount };
  blkio: Partial<Record<BlkioTable, BlkioEntry[]>> & { psi?: Pressures };
  hugetlb: Record<string, { usage?: Amount; max?: Amount; failcnt: Amount }>;
}

type Where = (controller: Controller) => Directory | undefined;

export function containerStats(where: Where): ContainerStats {
  const [cpu, cpuacct, cpuset, memory, pids, io, hugetlb] = (
    ["cpu", "cpuacct", "cpuset", "memory", "pids", "io", "hugetlb"] as const
  ).map(where);
  return {
    cpu: cpuStats(cpu, cpuacct),
    cpuset: cpusetStats(cpuset),
    memory: memory ? memoryStats(memory) : {},
    pids: pids ? pidsStats(pids) : {},
    blkio: io ? blkioStats(io) : {},
    hugetlb: hugetlb ? hugetlbStats(hugetlb) : {},
  };
}

const raw = (JSON as unknown as { rawJSON(text: string): { rawJSON: string } }).rawJSON;
/** As Go has "no limit": all bits of 64. */
const MAX = "18446744073709551615";

/** The decimal number that a text begins with. */
function amount(text: string | undefined): Amount | undefined {
  const [digits] = /^\d+/.exec(text === "max" ? MAX : (text ?? "")) ?? [];
  if (digits === undefined) return undefined;
  return Number.isSafeInteger(Number(digits)) ? Number(digits) : raw(digits);
}

const read = ({ path }: Directory, file: string): string | undefined => readKernelFile(`${path}/${file}`)?.trim();
const amountIn = (group: Directory, file: string): Amount | undefined => amount(read(group, file));

/** `name value` by lines. */
function fieldsIn(group: Directory, file: string): Map<string, Amount> {
  const fields = new Map<string, Amount>();
  for (const line of (read(group, file) ?? "").split("\n")) {
    const [name = "", text] = line.split(" ");
    const value = amount(text);
    if (value !== undefined) fields.set(name, value);
  }
  return fields;
}

/** Without what is absent or 0. */
function some<T extends object>(fields: { [Name in keyof T]: T[Name] | undefined }): Partial<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== 0),
  ) as Partial<T>;
}

function cpuStats(cpu: Directory | undefined, cpuacct: Directory | undefined): ContainerStats["cpu"] {
  const [time, fields] = [cpuacct && readCpuTime(cpuacct), cpu && fieldsIn(cpu, "cpu.stat")];
  const ns = (ms: number) => Math.round(ms * 1e6);
  const us = (value: Amount | undefined) => (typeof value === "number" ? value * 1000 : value);
  const percpu = cpuacct?.version === "v1" ? percpuStats(cpuacct) : {};
  return {
    ...(time && {
      usage: { ...some({ total: ns(time.cpuMs) }), ...percpu, kernel: ns(time.systemMs), user: ns(time.userMs) },
    }),
    throttling: some({
      periods: fields?.get("nr_periods"),
      throttledPeriods: fields?.get("nr_throttled"),
      throttledTime: fields?.get("throttled_time") ?? us(fields?.get("throttled_usec")),
    }),
    ...pressure(cpu, "cpu.pressure"),
  };
}

function percpuStats(group: Directory) {
  const percpu = (read(group, "cpuacct.usage_percpu") ?? "").split(" ").flatMap((text) => amount(text) ?? []);
  // "cpu user system", and a line for each
  const rows = (read(group, "cpuacct.usage_all") ?? "")
    .split("\n")
    .slice(1)
    .map((line) => line.split(" "));
  const column = (index: number) => rows.flatMap((row) => amount(row[index]) ?? []);
  return { percpu, percpu_kernel: column(2), percpu_user: column(1) };
}

const CPUSET_FLAGS = [
  "cpu_exclusive",
  "mem_hardwall",
  "mem_exclusive",
  "memory_migrate",
  "memory_spread_page",
  "memory_spread_slab",
  "memory_pressure",
  "sched_load_balance",
  "sched_relax_domain_level",
] as const;
type CpusetFlag = (typeof CPUSET_FLAGS)[number];

/** Of version 1. */
function cpusetStats(group: Directory | undefined): ContainerStats["cpuset"] {
  const isThere = group?.version === "v1";
  const flag = (name: string) => (isThere ? Number(read(group, `cpuset.${name}`) ?? 0) : 0);
  const flags = Object.fromEntries(CPUSET_FLAGS.map((name) => [name, flag(name)])) as Record<CpusetFlag, number>;
  const list = (name: string) => (isThere ? listOf(read(group, `cpuset.${name}`) ?? "") : undefined);
  const [cpus, mems] = [list("cpus"), list("mems")];
  return { ...(cpus && { cpus }), ...(mems && { mems }), ...flags };
}

function memoryStats(group: Directory): ContainerStats["memory"] {
  const fields = fieldsIn(group, "memory.stat");
  const isVersion2 = group.version === "v2";
  const cache = fields.get(isVersion2 ? "file" : "cache");
  return {
    ...some({ cache }),
    ...(isVersion2 ? memoryOfVersion2(group) : memoryOfVersion1(group)),
    raw: Object.fromEntries(fields),
    ...pressure(isVersion2 ? group : undefined, "memory.pressure"),
  };
}

function memoryOfVersion1(group: Directory): ContainerStats["memory"] {
  const entry = (name: string): MemoryEntry | undefined => {
    const field = (file: string) => amountIn(group, `memory.${name}${file}`);
    if (field("usage_in_bytes") === undefined) return undefined;
    return {
      limit: field("limit_in_bytes") ?? 0,
      ...some({ usage: field("usage_in_bytes"), max: field("max_usage_in_bytes") }),
      failcnt: field("failcnt") ?? 0,
    };
  };
  return some({ usage: entry(""), swap: entry("memsw."), kernel: entry("kmem."), kernelTCP: entry("kmem.tcp.") });
}

function memoryOfVersion2(group: Directory): ContainerStats["memory"] {
  const [usage, limit] = [amountIn(group, "memory.current"), amountIn(group, "memory.max")];
  if (usage === undefined) return {};
  const [swap, swapLimit] = [amountIn(group, "memory.swap.current"), amountIn(group, "memory.swap.max")];
  // memory and swap together, as in version 1; what either has as its maximum cannot be added
  const both = (a: Amount | undefined, b: Amount | undefined) =>
    typeof a === "number" && typeof b === "number" ? a + b : raw(MAX);
  return {
    usage: { limit: limit ?? 0, ...some({ usage, max: amountIn(group, "memory.peak") }), failcnt: 0 },
    ...(swap === undefined ? {} : { swap: { limit: both(swapLimit, limit), usage: both(swap, usage), failcnt: 0 } }),
  };
}

function pidsStats(group: Directory): ContainerStats["pids"] {
  const limit = read(group, "pids.max");
  return some({ current: amountIn(group, "pids.current"), limit: limit === "max" ? undefined : amount(limit) });
}

/** By the names of their files in version 1, after `blkio.`, `blkio.bfq.` or `blkio.throttle.`. */
const TABLES = {
  ioServiceBytesRecursive: "io_service_bytes",
  ioServicedRecursive: "io_serviced",
  ioQueueRecursive: "io_queued",
  ioServiceTimeRecursive: "io_service_time",
  ioWaitTimeRecursive: "io_wait_time",
  ioMergedRecursive: "io_merged",
  ioTimeRecursive: "time",
  sectorsRecursive: "sectors",
} as const;
type BlkioTable = keyof typeof TABLES;

function blkioStats(group: Directory): ContainerStats["blkio"] {
  if (group.version === "v2") return { ...ioOfVersion2(group), ...pressure(group, "io.pressure") };
  const found = Object.entries(TABLES).map(([table, name]) => {
    const files = ["blkio.bfq.", "blkio.", "blkio.throttle."].map((prefix) =>
      read(group, `${prefix}${name}_recursive`),
    );
    return [
      table,
      files
        .find((text) => text !== undefined)
        ?.split("\n")
        .flatMap(entryOf),
    ] as const;
  });
  return Object.fromEntries(found.filter(([, entries]) => entries && entries.length > 0));
}

/** `8:0 Read 4096`, `8:0 4096`; not the sum, `Total 4096`. */
function entryOf(line: string): BlkioEntry[] {
  const [, major, minor, op, value] = /^(\d+):(\d+) (?:(\w+) )?(\d+)$/.exec(line) ?? [];
  return major === undefined ? [] : [blkioEntry(Number(major), Number(minor), op, amount(value))];
}

const blkioEntry = (major: number, minor: number, op: string | undefined, value: Amount | undefined): BlkioEntry =>
  some({ major, minor, op, value });

const OF_VERSION_2 = [
  ["ioServiceBytesRecursive", "rbytes", "Read"],
  ["ioServiceBytesRecursive", "wbytes", "Write"],
  ["ioServicedRecursive", "rios", "Read"],
  ["ioServicedRecursive", "wios", "Write"],
] as const;

function ioOfVersion2(group: Directory): ContainerStats["blkio"] {
  const tables: Partial<Record<BlkioTable, BlkioEntry[]>> = {};
  for (const line of (read(group, "io.stat") ?? "").split("\n")) {
    const [, major, minor, rest = ""] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
    const values = new Map(rest.split(" ").map((pair) => pair.split("=") as [string, string]));
    for (const [table, key, op] of OF_VERSION_2) {
      const value = amount(values.get(key));
      if (value !== undefined) (tables[table] ??= []).push(blkioEntry(Number(major), Number(minor), op, value));
    }
  }
  return tables;
}

function hugetlbStats(group: Directory): ContainerStats["hugetlb"] {
  const isVersion2 = group.version === "v2";
  const [current, peak] = isVersion2 ? ["current", ""] : ["usage_in_bytes", "max_usage_in_bytes"];
  const names = namesIn(group.path);
  const sizes = names.flatMap((name) => new RegExp(`^hugetlb\\.(\\w+)\\.${current}$`).exec(name)?.[1] ?? []);
  return Object.fromEntries(
    sizes.map((size) => {
      const prefix = `hugetlb.${size}${names.includes(`hugetlb.${size}.rsvd.${current}`) ? ".rsvd" : ""}`;
      const failed = isVersion2
        ? fieldsIn(group, `hugetlb.${size}.events`).get("max")
        : amountIn(group, `${prefix}.failcnt`);
      const max = isVersion2 ? undefined : amountIn(group, `${prefix}.${peak}`);
      return [size, { ...some({ usage: amountIn(group, `${prefix}.${current}`), max }), failcnt: failed ?? 0 }];
    }),
  );
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; nothing where the kernel does not count it. */
function pressure(group: Directory | undefined, file: string): { psi?: Pressures } {
  const text = group?.version === "v2" ? read(group, file) : undefined;
  if (text === undefined) return {};
  const psi: Pressures = {};
  for (const line of text.split("\n")) {
    const [, kind, rest = ""] = /^(some|full) (.*)$/.exec(line) ?? [];
    if (kind === undefined) continue;
    const values = new Map(rest.split(" ").map((pair) => pair.split("=") as [string, string]));
    const average = (name: string) => Number(values.get(name) ?? 0);
    psi[kind as "some" | "full"] = {
      avg10: average("avg10"),
      avg60: average("avg60"),
      avg300: average("avg300"),
      total: amount(values.get("total")) ?? 0,
    };
  }
  return { psi };
}
