/** Limits of a request that control groups keep, as the specification's resources. @module */
import { absolute, blockDeviceOf, statFile, show } from "../../syscalls/index.ts";
import type { BlockIO, DeviceRule, Resources } from "../spec/index.ts";
import { checkArray, checkChoice, checkKeys, checkObject, checkText, invalid } from "../options/index.ts";
import type { DeviceOption, IoLimit, Limits, Size } from "./options.ts";
import { directoryOf, type Request } from "./stacked-root.ts";
import { parseSize } from "./parse.ts";

/** Of limits that control groups keep; those can be changed while a box runs. */
export const GROUP_LIMITS = [
  "memory memorySwap memoryReservation memorySwappiness oomKill",
  "cpus cpuShares cpuPeriodUs cpuQuotaUs cpuBurstUs cpuIdle cpusetCpus cpusetMems pids io hugepages unified",
]
  .join(" ")
  .split(" ");
const OWN_LIMITS = ["time", "cpuTime", "output", "disk", "bandwidth", "traffic", "optional"];

/** The kernel itself needs about this much for a process and its mounts. */
const MIN_MEMORY_BYTES = 512 * 1024;
const CPU_PERIOD_US = 100_000;
const MIN_CPUS = 0.01;
const MAX_CPUS = 8192;
const MAX_PIDS = 2 ** 22;

export function resourcesOf(request: Request): Resources {
  const { limits, security, devices } = request;
  const resources = limits === undefined ? {} : limitsAsResources(limits, directoryOf(request));
  const limited = devices?.some((device) => typeof device === "object" && device.access !== undefined);
  if (security?.deviceRules !== undefined || limited)
    resources.devices = deviceRulesOf(security?.deviceRules ?? [], devices ?? []);
  return resources;
}

/** @param directory whose block device is meant where an I/O limit names none @throws TsboxError `invalid_option` */
export function limitsAsResources(limits: Limits, directory = "/"): Resources {
  checkKeys("limit", limits, [...GROUP_LIMITS, ...OWN_LIMITS]);
  checkChoice<boolean>("limits.optional", limits.optional, false, true);
  const resources: Resources = {};
  const memory = memoryOf(limits);
  if (Object.keys(memory).length > 0) resources.memory = memory;
  const cpu = { ...cpuOf(limits), ...cpusetOf(limits) };
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;
  const { pids, io, hugepages, unified } = limits;
  // init is in the group too, and is not one that was asked for
  if (pids !== undefined) resources.pids = { limit: integer("process limit", pids, 1, MAX_PIDS) + 1 };
  if (io !== undefined) resources.blockIO = blockIOOf(Array.isArray(io) ? io : [io], directory);
  if (hugepages !== undefined) resources.hugepageLimits = hugepagesOf(hugepages);
  if (unified !== undefined) resources.unified = unifiedOf(unified);
  return resources;
}

function integer(what: string, value: unknown, min: number, max: number): number {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw invalid(`use the ${what} ${show(value)}: not understood`, `a whole number from ${min} to ${max}`);
}

function memoryOf(limits: Limits): NonNullable<Resources["memory"]> {
  const { memory, memorySwap, memoryReservation, memorySwappiness, oomKill } = limits;
  const result: NonNullable<Resources["memory"]> = {};
  if (memory !== undefined) {
    const limit = parseSize("use the memory limit", memory);
    if (limit < MIN_MEMORY_BYTES) throw invalid(`use the memory limit ${show(memory)}: too little`, "at least 512k");
    Object.assign(result, { limit, swap: limit });
  }
  // any amount is what there is without a limit
  if (memorySwap !== undefined && !(memorySwap === Infinity && memory === undefined))
    result.swap = swapOf(memorySwap, result.limit);
  if (memoryReservation !== undefined) {
    const reservation = parseSize("use the memory reservation", memoryReservation);
    if (reservation > (result.limit ?? Infinity))
      throw invalid(`use the memory reservation ${show(memoryReservation)}: it is above the memory limit`);
    result.reservation = reservation;
  }
  if (memorySwappiness !== undefined) result.swappiness = integer("memory swappiness", memorySwappiness, 0, 100);
  if (!checkChoice<boolean>("limits.oomKill", oomKill, true, false)) {
    // what waits for memory of the whole machine, nobody could kill
    if (result.limit === undefined) throw invalid("use oomKill false without a memory limit");
    result.disableOOMKiller = true;
  }
  return result;
}

function swapOf(memorySwap: Size, limit: number | undefined): number {
  if (limit === undefined) throw invalid("use the swap limit without a memory limit: it is for both together");
  if (memorySwap === Infinity) return -1;
  const swap = parseSize("use the swap limit", memorySwap);
  if (swap < limit)
    throw invalid(`use the swap limit ${show(memorySwap)}: less than the memory limit`, "it is for both together");
  return swap;
}

function cpuOf(limits: Limits): NonNullable<Resources["cpu"]> {
  const { cpus, cpuShares, cpuPeriodUs, cpuQuotaUs, cpuBurstUs, cpuIdle } = limits;
  const result: NonNullable<Resources["cpu"]> = {};
  if (cpuShares !== undefined) result.shares = integer("CPU shares", cpuShares, 2, 262_144);
  if (cpuPeriodUs !== undefined) result.period = integer("CPU period", cpuPeriodUs, 1000, 1_000_000);
  if (cpus !== undefined) {
    if (cpuQuotaUs !== undefined) throw invalid("use both cpus and cpuQuotaUs: they say the same");
    if (typeof cpus !== "number" || !(cpus >= MIN_CPUS && cpus <= MAX_CPUS)) {
      throw invalid(
        `use the CPU limit ${show(cpus)}: not understood`,
        `a number of CPUs from ${MIN_CPUS}: 0.5 is half of one`,
      );
    }
    result.period ??= CPU_PERIOD_US;
    result.quota = Math.max(Math.round(cpus * result.period), MIN_QUOTA_US);
  } else if (cpuQuotaUs !== undefined) {
    result.quota = integer("CPU quota", cpuQuotaUs, MIN_QUOTA_US, Number.MAX_SAFE_INTEGER);
  }
  if (cpuBurstUs !== undefined) {
    if (result.quota === undefined) throw invalid("use cpuBurstUs without a quota: there is nothing to save");
    result.burst = integer("CPU burst", cpuBurstUs, 0, result.quota);
  }
  if (checkChoice<boolean>("limits.cpuIdle", cpuIdle, false, true)) result.idle = 1;
  return result;
}

const MIN_QUOTA_US = 1000;

function cpusetOf({ cpusetCpus, cpusetMems }: Limits): NonNullable<Resources["cpu"]> {
  const list = (what: string, value: string) => {
    if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(checkText(what, value))) return value;
    throw invalid(`use the ${what} ${show(value)}: not understood`, 'a list: "0-2,5"');
  };
  return {
    ...(cpusetCpus === undefined ? {} : { cpus: list("CPU set", cpusetCpus) }),
    ...(cpusetMems === undefined ? {} : { mems: list("memory node set", cpusetMems) }),
  };
}

const RATES = [
  ["readBps", "throttleReadBpsDevice"],
  ["writeBps", "throttleWriteBpsDevice"],
  ["readIops", "throttleReadIOPSDevice"],
  ["writeIops", "throttleWriteIOPSDevice"],
] as const;

function blockIOOf(limits: IoLimit[], directory: string): BlockIO {
  const result: BlockIO = {};
  for (const limit of limits) {
    checkObject("I/O limit", limit, '{ device: "/dev/sda", readBps: "10mb" }');
    checkKeys("I/O limit", limit, ["device", "weight", ...RATES.map(([name]) => name)]);
    const { device, weight } = limit;
    if (Object.keys(limit).every((key) => key === "device")) throw invalid("use an I/O limit that limits nothing");
    if (weight !== undefined) {
      const value = integer("I/O weight", weight, 10, 1000);
      if (device === undefined) result.weight = value;
      else (result.weightDevice ??= []).push({ ...deviceNumber(device), weight: value });
    }
    for (const [name, field] of RATES) {
      const wanted = limit[name];
      if (wanted === undefined) continue;
      const rate = name.endsWith("Bps")
        ? parseSize(`use the I/O limit ${name}`, wanted)
        : integer(`I/O limit ${name}`, wanted, 1, 2 ** 32 - 1);
      if (rate === 0) throw invalid(`use the I/O limit ${name} 0: nothing could go on`);
      (result[field] ??= []).push({ ...deviceNumber(device ?? directory), rate });
    }
  }
  return result;
}

/** `"8:0"`, a device node, or a path on a file system of a block device. */
function deviceNumber(device: string): { major: number; minor: number } {
  const [, major, minor] = /^(\d+):(\d+)$/.exec(checkText("block device", device)) ?? [];
  if (major !== undefined) return { major: Number(major), minor: Number(minor) };
  const path = absolute(device);
  const found = blockDeviceOf(path);
  if (found) return found;
  throw invalid(
    `limit I/O of ${show(device)}: ${statFile(path) ? "it is not on one block device" : "no such file or directory"}`,
    'name the device: "/dev/sda", or its number: "8:0"',
  );
}

function hugepagesOf(hugepages: Record<string, Size>): NonNullable<Resources["hugepageLimits"]> {
  checkObject("hugepages", hugepages, '{ "2MB": "64mb" }');
  return Object.entries(hugepages).map(([pageSize, size]) => {
    if (!/^\d+[KMG]B$/.test(pageSize))
      throw invalid(`limit pages of ${show(pageSize)}: not understood`, '"2MB", "1GB"');
    return { pageSize, limit: parseSize(`limit pages of "${pageSize}" to`, size) };
  });
}

function unifiedOf(unified: Record<string, string>): Record<string, string> {
  checkObject("cgroup files", unified, '{ "memory.high": "64M" }');
  for (const [file, value] of Object.entries(unified)) {
    checkText(`value of the cgroup file ${show(file)}`, value);
    if (!/^[a-z]+\.[a-zA-Z0-9._]+$/.test(file)) throw invalid(`write to the cgroup file ${show(file)}: not a name`);
  }
  return { ...unified };
}

/** What every sandbox has in /dev, and device nodes that nobody can open. */
const USUAL_DEVICES: readonly DeviceRule[] = [
  { allow: false, access: "rwm" },
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...[[1, 3], [1, 5], [1, 7], [1, 8], [1, 9], [5, 0], [5, 2], [136]].map(([major, minor]): DeviceRule => ({
    allow: true,
    type: "c",
    major: major as number,
    ...(minor === undefined ? {} : { minor }),
    access: "rwm",
  })),
];

const [S_IFMT, S_IFCHR] = [0o170000, 0o020000];

function boundDevice(device: string | DeviceOption): DeviceRule[] {
  const { source, access = "rw" } = typeof device === "string" ? { source: device } : device;
  if (!/^(?!.*(.).*\1)[rwm]+$/.test(checkText("device's access", access)))
    throw invalid(
      `use the device "${source}" with the access ${show(access)}: not understood`,
      '"r", "w", "rw" or "rwm"',
    );
  const stat = statFile(absolute(source));
  if (!stat) return [];
  return [{ allow: true, type: (stat.mode & S_IFMT) === S_IFCHR ? "c" : "b", ...stat.special, access }];
}

/** `"c 10:200 rwm"`, as Docker's. */
function deviceRulesOf(rules: string[], bound: NonNullable<Request["devices"]>): DeviceRule[] {
  const number = (text: string | undefined) => (text === "*" ? -1 : Number(text));
  return [
    ...USUAL_DEVICES,
    ...bound.flatMap(boundDevice),
    ...checkArray("device rules", rules).map((rule): DeviceRule => {
      const [, type, major, minor, access] =
        /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(checkText("device rule", rule)) ?? [];
      const all = type === "a" && `${major}:${minor} ${access}` === "*:* rwm";
      if (access === undefined || (type === "a" && !all))
        throw invalid(`use the device rule ${show(rule)}: not understood`, '"c 10:200 rwm", "b 8:* r"');
      if (all) return { allow: true, type: "a" };
      return { allow: true, type: type as "b" | "c", major: number(major), minor: number(minor), access };
    }),
  ];
}
