/**
 * Resources of the specification as files of control groups: pure, a function for each controller.
 * @module
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { BlockIO, Resources, Throttle } from "../spec/index.ts";
import { v1DeviceLines } from "./devices.ts";

/**
 * By their names in version 2; `io` is `blkio` in version 1. `cpuacct` and those from `devices` on are no controllers in
 * version 2.
 */
export const CONTROLLERS = [
  "memory",
  "cpu",
  "cpuacct",
  "cpuset",
  "pids",
  "io",
  "hugetlb",
  "rdma",
  "devices",
  "freezer",
  "net_cls",
  "net_prio",
] as const;
export type Controller = (typeof CONTROLLERS)[number];

export interface Write {
  file: string;
  value: string;
  /** The kernel may lack the file where it accounts for no swap. */
  optional?: boolean;
  /** Another name of the file, in kernels that lack the first, and its value. */
  or?: { file: string; value: string };
}

/** What has to be written where; or why a version cannot do it. */
export interface Setting {
  controller: Controller;
  v1: Write[] | { lacks: string };
  v2: Write[] | { lacks: string };
}

export function settingsOf(resources: Resources): Setting[] {
  return [
    ...memorySettings(resources.memory ?? {}),
    ...cpuSettings(resources.cpu ?? {}),
    ...cpusetSettings(resources.cpu ?? {}),
    ...pidsSettings(resources.pids),
    ...ioSettings(resources.blockIO ?? {}),
    ...hugetlbSettings(resources.hugepageLimits ?? []),
    ...rdmaSettings(resources.rdma ?? {}),
    ...networkSettings(resources.network ?? {}),
    ...deviceSettings(resources.devices ?? []),
    ...unifiedSettings(resources.unified ?? {}),
  ];
}

/** What does not fit is as much as there can be. */
const isUnlimited = (value: number) => value < 0 || value >= 2 ** 63;
const max = (value: number) => (isUnlimited(value) ? "max" : String(value));
const bytes = (value: number) => (isUnlimited(value) ? "-1" : String(value));
const both = (controller: Controller, v1: Write[], v2: Setting["v2"]): Setting[] =>
  v1.length === 0 ? [] : [{ controller, v1, v2 }];

function memorySettings(memory: NonNullable<Resources["memory"]>): Setting[] {
  const { limit, reservation, swap, swappiness, disableOOMKiller, useHierarchy } = memory;
  // a kernel that accounts for no swap has no file, and nothing more to allow
  const optional = swap === 0 || swap === limit || (swap !== undefined && isUnlimited(swap));
  const settings: Setting[] = [];
  if (limit !== undefined) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.limit_in_bytes", value: bytes(limit) }],
      v2: [{ file: "memory.max", value: max(limit) }],
    });
  }
  if (swap !== undefined) {
    const more = isUnlimited(swap) ? "max" : String(swap - (limit === undefined || isUnlimited(limit) ? 0 : limit));
    settings.push({
      controller: "memory",
      v1: swap === 0 ? [] : [{ file: "memory.memsw.limit_in_bytes", value: bytes(swap), optional }],
      v2: [{ file: "memory.swap.max", value: more, optional }],
    });
  }
  if (reservation !== undefined) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.soft_limit_in_bytes", value: bytes(reservation) }],
      v2: [{ file: "memory.low", value: max(reservation) }],
    });
  }
  if (swappiness !== undefined) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.swappiness", value: String(swappiness) }],
      v2: { lacks: "a group's own swappiness" },
    });
  }
  if (disableOOMKiller) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.oom_control", value: "1" }],
      v2: { lacks: "groups without OOM killer" },
    });
  }
  if (useHierarchy !== undefined) {
    settings.push({
      controller: "memory",
      // kernels from 5.11 on know no other way
      v1: [{ file: "memory.use_hierarchy", value: useHierarchy ? "1" : "0", optional: useHierarchy }],
      v2: useHierarchy ? [] : { lacks: "groups that do not count what is below them" },
    });
  }
  return settings;
}

const PERIOD_US = 100_000;

type Cpu = NonNullable<Resources["cpu"]>;

function cpuSettings(cpu: Cpu): Setting[] {
  const { shares, quota, burst, period, idle } = cpu;
  const [v1, v2]: [Write[], Write[]] = [[], []];
  if (shares !== undefined) {
    v1.push({ file: "cpu.shares", value: String(shares) });
    v2.push({ file: "cpu.weight", value: String(weightOfShares(shares)) });
  }
  if (quota !== undefined || period !== undefined) {
    v1.push({ file: "cpu.cfs_period_us", value: String(period ?? PERIOD_US) });
    if (quota !== undefined) v1.push({ file: "cpu.cfs_quota_us", value: String(quota) });
    v2.push({ file: "cpu.max", value: `${max(quota ?? -1)} ${period ?? PERIOD_US}` });
  }
  if (burst !== undefined) {
    v1.push({ file: "cpu.cfs_burst_us", value: String(burst) });
    v2.push({ file: "cpu.max.burst", value: String(burst) });
  }
  if (idle !== undefined) {
    v1.push({ file: "cpu.idle", value: String(idle) });
    v2.push({ file: "cpu.idle", value: String(idle) });
  }
  return [...both("cpu", v1, v2), ...realtimeSettings(cpu)];
}

/** Time of processes that are scheduled in real time; before any such process is in the group. */
function realtimeSettings({ realtimeRuntime: runtime, realtimePeriod: period }: Cpu): Setting[] {
  const v1: Write[] = [];
  if (period !== undefined) v1.push({ file: "cpu.rt_period_us", value: String(period) });
  if (runtime !== undefined) v1.push({ file: "cpu.rt_runtime_us", value: String(runtime) });
  return both("cpu", v1, { lacks: "a limit of time in real time" });
}

/**
 * From 2…262144 to 1…10000, so that the default of the one, 1024, is that of the other, 100: a parabola through these
 * three in a logarithmic scale, as runc and crun have it since 2025.
 */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const l = Math.log2(shares);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
}

function cpusetSettings({ cpus, mems }: Cpu): Setting[] {
  const files: Write[] = [];
  if (cpus !== undefined) files.push({ file: "cpuset.cpus", value: cpus });
  if (mems !== undefined) files.push({ file: "cpuset.mems", value: mems });
  return both("cpuset", files, files);
}

function pidsSettings(pids: Resources["pids"]): Setting[] {
  return pids === undefined
    ? []
    : both("pids", [{ file: "pids.max", value: max(pids.limit) }], [{ file: "pids.max", value: max(pids.limit) }]);
}

const THROTTLES = [
  ["throttleReadBpsDevice", "read_bps", "rbps"],
  ["throttleWriteBpsDevice", "write_bps", "wbps"],
  ["throttleReadIOPSDevice", "read_iops", "riops"],
  ["throttleWriteIOPSDevice", "write_iops", "wiops"],
] as const;

function ioSettings(io: BlockIO): Setting[] {
  const [v1, v2]: [Write[], Write[]] = [[], []];
  // each scheduler has files of its own
  const weigh = (prefix: string, device: string, weight: number) => {
    const suffix = prefix === "" ? "" : "_device";
    const bfq = { file: `blkio.bfq.weight${suffix}`, value: `${prefix}${weight}` };
    v1.push({ file: `blkio.weight${suffix}`, value: `${prefix}${weight}`, or: bfq });
    const value = `${device} ${1 + Math.floor(((weight - 10) * 9999) / 990)}`;
    v2.push({ file: "io.bfq.weight", value: `${device} ${weight}`, or: { file: "io.weight", value } });
  };
  if (io.weight !== undefined) weigh("", "default", io.weight);
  for (const { major, minor, weight } of io.weightDevice ?? [])
    if (weight !== undefined) weigh(`${major}:${minor} `, `${major}:${minor}`, weight);
  for (const [field, file, key] of THROTTLES) {
    for (const { major, minor, rate } of io[field] ?? ([] as Throttle[])) {
      const device = `${major}:${minor}`;
      // 0 removes a limit, and so does "max"
      v1.push({ file: `blkio.throttle.${file}_device`, value: `${device} ${Math.max(rate, 0)}` });
      v2.push({ file: "io.max", value: `${device} ${key}=${rate > 0 ? rate : "max"}` });
    }
  }
  return [...both("io", v1, v2), ...leafWeightSettings(io)];
}

function leafWeightSettings({ leafWeight, weightDevice = [] }: BlockIO): Setting[] {
  const v1: Write[] = leafWeight === undefined ? [] : [{ file: "blkio.leaf_weight", value: String(leafWeight) }];
  for (const { major, minor, leafWeight: own } of weightDevice)
    if (own !== undefined) v1.push({ file: "blkio.leaf_weight_device", value: `${major}:${minor} ${own}` });
  return both("io", v1, { lacks: "weights against groups below" });
}

function hugetlbSettings(limits: NonNullable<Resources["hugepageLimits"]>): Setting[] {
  // pages that are reserved are limited apart, since Linux 5.7
  const files = (name: string, value: string, size: string): Write[] => [
    { file: `hugetlb.${size}.${name}`, value },
    { file: `hugetlb.${size}.rsvd.${name}`, value, optional: true },
  ];
  const v1 = limits.flatMap(({ pageSize, limit }) => files("limit_in_bytes", bytes(limit), pageSize));
  const v2 = limits.flatMap(({ pageSize, limit }) => files("max", max(limit), pageSize));
  return both("hugetlb", v1, v2);
}

function rdmaSettings(rdma: NonNullable<Resources["rdma"]>): Setting[] {
  const writes = Object.entries(rdma).map(([device, { hcaHandles, hcaObjects }]) => {
    const limit = (name: string, value: number | undefined) => (value === undefined ? [] : [`${name}=${max(value)}`]);
    return {
      file: "rdma.max",
      value: [device, ...limit("hca_handle", hcaHandles), ...limit("hca_object", hcaObjects)].join(" "),
    };
  });
  return both("rdma", writes, writes);
}

function networkSettings({ classID, priorities = [] }: NonNullable<Resources["network"]>): Setting[] {
  const map = priorities.map(({ name, priority }) => ({ file: "net_prio.ifpriomap", value: `${name} ${priority}` }));
  const lacks = "classes and priorities of network traffic";
  return [
    ...both("net_cls", classID === undefined ? [] : [{ file: "net_cls.classid", value: String(classID) }], { lacks }),
    ...both("net_prio", map, { lacks }),
  ];
}

/** In version 2, a program is attached to the group instead: `attachDeviceFilter`. */
function deviceSettings(rules: NonNullable<Resources["devices"]>): Setting[] {
  const lines = v1DeviceLines(rules) ?? { lacks: "device rules that take back a part of what an earlier one says" };
  return rules.length === 0 ? [] : [{ controller: "devices", v1: lines, v2: [] }];
}

const FILE = /^([a-z]+)\.[a-zA-Z0-9._]+$/;

function unifiedSettings(unified: NonNullable<Resources["unified"]>): Setting[] {
  return Object.entries(unified).map(([file, value]) => {
    const [, prefix] = FILE.exec(file) ?? [];
    // what every group has: no controller has to be there
    const controller = prefix === "cgroup" ? "cpuacct" : CONTROLLERS.find((name) => name === prefix);
    if (controller === undefined) {
      throw new TsboxError(`write to the cgroup file ${JSON.stringify(file)}: of no known controller`, {
        code: "invalid_option",
        hint: `files of ${CONTROLLERS.join(", ")}: "memory.high"`,
      });
    }
    return { controller, v1: { lacks: `"${file}"` }, v2: [{ file, value }] };
  });
}
