/**
 * Resources of the specification as files of control groups: pure, a function for each controller.
 * @module
 * @see https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { BlockIO, Resources, Throttle } from "../spec/index.ts";
import { v1DeviceLines } from "./devices.ts";

/** By their names in version 2; `io` is `blkio` in version 1. The last two and `cpuacct` are no controllers in version 2. */
export const CONTROLLERS = [
  "memory",
  "cpu",
  "cpuacct",
  "cpuset",
  "pids",
  "io",
  "hugetlb",
  "devices",
  "freezer",
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
    ...deviceSettings(resources.devices ?? []),
    ...unifiedSettings(resources.unified ?? {}),
  ];
}

const max = (value: number) => (value < 0 ? "max" : String(value));
const both = (controller: Controller, v1: Write[], v2: Setting["v2"]): Setting[] =>
  v1.length === 0 ? [] : [{ controller, v1, v2 }];

function memorySettings(memory: NonNullable<Resources["memory"]>): Setting[] {
  const { limit, reservation, swappiness, disableOOMKiller } = memory;
  // memory and swap together; without a word, what exceeds the limit is not swapped
  const swap = memory.swap ?? limit;
  // a kernel that accounts for no swap has no file, and nothing more to allow
  const optional = swap === limit;
  const settings: Setting[] = [];
  if (limit !== undefined) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.limit_in_bytes", value: String(limit) }],
      v2: [{ file: "memory.max", value: max(limit) }],
    });
  }
  if (swap !== undefined) {
    const more = swap < 0 ? "max" : String(swap - Math.max(limit ?? 0, 0));
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.memsw.limit_in_bytes", value: String(swap), optional }],
      v2: [{ file: "memory.swap.max", value: more, optional }],
    });
  }
  if (reservation !== undefined) {
    settings.push({
      controller: "memory",
      v1: [{ file: "memory.soft_limit_in_bytes", value: String(reservation) }],
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
  return settings;
}

const PERIOD_US = 100_000;

function cpuSettings({ shares, quota, burst, period, idle }: NonNullable<Resources["cpu"]>): Setting[] {
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
  return both("cpu", v1, v2);
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

function cpusetSettings({ cpus, mems }: NonNullable<Resources["cpu"]>): Setting[] {
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
    const value = `${device} ${1 + Math.round(((weight - 10) * 9999) / 990)}`;
    v2.push({ file: "io.bfq.weight", value: `${device} ${weight}`, or: { file: "io.weight", value } });
  };
  if (io.weight !== undefined) weigh("", "default", io.weight);
  for (const { major, minor, weight } of io.weightDevice ?? [])
    weigh(`${major}:${minor} `, `${major}:${minor}`, weight);
  for (const [field, file, key] of THROTTLES) {
    for (const { major, minor, rate } of io[field] ?? ([] as Throttle[])) {
      const device = `${major}:${minor}`;
      // 0 removes a limit, and so does "max"
      v1.push({ file: `blkio.throttle.${file}_device`, value: `${device} ${Math.max(rate, 0)}` });
      v2.push({ file: "io.max", value: `${device} ${key}=${rate > 0 ? rate : "max"}` });
    }
  }
  return both("io", v1, v2);
}

function hugetlbSettings(limits: NonNullable<Resources["hugepageLimits"]>): Setting[] {
  const v1 = limits.map(({ pageSize, limit }) => ({
    file: `hugetlb.${pageSize}.limit_in_bytes`,
    value: String(limit),
  }));
  const v2 = limits.map(({ pageSize, limit }) => ({ file: `hugetlb.${pageSize}.max`, value: max(limit) }));
  return both("hugetlb", v1, v2);
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
