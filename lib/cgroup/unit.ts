/**
 * A container's scope of systemd: its name, where its group is, and its limits as properties, so that systemd does not
 * take them back. All that it has no property for is in the group's files alone.
 * @module
 * @see systemd.scope(5), systemd.resource-control(5)
 */
import { TsboxError } from "../../syscalls/index.ts";
import type { DeviceRule, Resources } from "../spec/index.ts";
import { property, type Property, type Variant } from "../systemd/index.ts";
import { listOf } from "./cpu-list.ts";
import { v1DeviceLines } from "./devices.ts";
import { settingsOf, weightOfShares } from "./settings.ts";
import { parseVariant } from "./variant.ts";

/** It goes through JSON. */
export interface Unit {
  name: string;
  slice: string;
  /** Properties of its own, from annotations of the bundle. */
  annotations?: Record<string, string>;
}

const PREFIX = "tsbox";

/**
 * `slice:prefix:name`, where each may be empty; without a path, the id in the usual slice.
 *
 * @throws TsboxError `invalid_option`
 */
export function unitOf(id: string, cgroupsPath: string | undefined, rootless: boolean): Unit {
  const usual = rootless ? "user.slice" : "system.slice";
  if (cgroupsPath === undefined || cgroupsPath === "") return { name: scopeOf(PREFIX, id), slice: usual };
  const parts = cgroupsPath.split(":");
  const [slice, prefix, name] = parts;
  if (parts.length !== 3 || slice === undefined || prefix === undefined || !name) {
    throw new TsboxError(
      `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(cgroupsPath)} instead`,
      { code: "invalid_option", hint: `"system.slice:${PREFIX}:${id}"` },
    );
  }
  return { name: scopeOf(prefix, name), slice: slice === "" ? usual : slice };
}

/** As systemd-escape(1) does it, but for dashes, which only slices are about. */
function scopeOf(prefix: string, name: string): string {
  const escape = (text: string) =>
    text.replace(/[^A-Za-z0-9:_.-]/g, (letter) =>
      [...new TextEncoder().encode(letter)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""),
    );
  const scope = `${prefix === "" ? "" : `${escape(prefix)}-`}${escape(name)}.scope`;
  const MAX_NAME = 255;
  if (scope.length <= MAX_NAME) return scope;
  throw new TsboxError(`use the name ${JSON.stringify(name)} for a unit of systemd: it is too long`, {
    code: "invalid_option",
  });
}

/** `/a.slice/a-b.slice` of `a-b.slice`; `-.slice` is the root. @throws TsboxError `invalid_option` */
export function pathOfSlice(slice: string): string {
  const name = slice.endsWith(".slice") ? slice.slice(0, -".slice".length) : "";
  if (name === "-") return "";
  const parts = name.split("-");
  if (!/^[A-Za-z0-9:_.\\@-]+$/.test(name) || parts.includes("")) {
    throw new TsboxError(`use the slice ${JSON.stringify(slice)}: invalid slice name`, {
      code: "invalid_option",
      hint: '"a-b.slice" is the slice "b" below the slice "a"',
    });
  }
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

/** @param pid of the process that the scope is made around */
export function scopeProperties(name: string, slice: string, pid: number, version: "v1" | "v2"): Property[] {
  const accounting = ["Memory", "CPU", version === "v2" ? "IO" : "BlockIO", "Tasks"];
  return [
    property("Description", "s", `tsbox container ${name.replace(/\.scope$/, "")}`),
    property("Slice", "s", slice),
    property("Delegate", "b", true),
    property("PIDs", "au", [pid]),
    // counted from the start
    ...accounting.map((what) => property(`${what}Accounting`, "b", true)),
    // it is nothing that a shutdown has to wait for in an order
    property("DefaultDependencies", "b", false),
  ];
}

/** What annotations begin with that are properties of the unit. */
export const UNIT_ANNOTATION = "org.systemd.property.";

/** Those of a bundle that are about its unit. */
export const annotationsOf = (annotations: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith(UNIT_ANNOTATION)));

/** `org.systemd.property.TimeoutStopUSec: uint64 123456789`, in the words of GVariant. @throws TsboxError `invalid_option` */
export function annotatedProperties(annotations: Readonly<Record<string, string>>): Property[] {
  return Object.entries(annotations).map(([key, text]): Property => {
    const name = key.slice(UNIT_ANNOTATION.length);
    const wrong = (why: string) => new TsboxError(`use the annotation "${key}": ${why}`, { code: "invalid_option" });
    if (!/^[A-Za-z]{3,}$/.test(name)) throw wrong(`${JSON.stringify(name)} is no name of a property`);
    const value = parseVariant(text);
    if (!value) throw wrong(`${JSON.stringify(text)} is no value: 'text', true, 5, uint64 5, ['a', 'b']`);
    const [, stem] = /^(.*[a-z])Sec$/.exec(name) ?? [];
    if (stem === undefined) return [name, value];
    if (typeof value.value !== "number" && typeof value.value !== "bigint") throw wrong("seconds are a number");
    return property(`${stem}USec`, "t", microseconds(value));
  });
}

const microseconds = ({ value }: Variant): bigint =>
  typeof value === "bigint" ? value * 1_000_000n : BigInt(Math.round((value as number) * 1e6));

/** systemd takes it when a scope is made, and never again; since 253. */
export const oomPolicy = (group: string): Property[] => [
  property("OOMPolicy", "s", group === "1" ? "kill" : "continue"),
];

const INFINITY = 2n ** 64n - 1n;
const DEFAULT_PERIOD_US = 100_000;
/** systemd counts a quota in percents of a CPU. */
const PERCENT_US = 10_000;

/** @param systemd its version */
export function resourceProperties(resources: Resources, version: "v1" | "v2", systemd: number): Property[] {
  const { memory = {}, pids } = resources;
  const number = (name: string, value: number | undefined) =>
    value === undefined ? [] : [property(name, "t", value < 0 || value >= 2 ** 63 ? INFINITY : BigInt(value))];
  return [
    ...number(version === "v2" ? "MemoryMax" : "MemoryLimit", memory.limit),
    ...(version === "v2" ? [...number("MemoryLow", memory.reservation), ...swapProperty(resources)] : []),
    ...cpuProperties(resources, version, systemd),
    ...number("TasksMax", pids?.limit),
    ...(version === "v1" ? number("BlockIOWeight", resources.blockIO?.weight) : []),
    ...listProperty("AllowedCPUs", resources.cpu?.cpus, systemd),
    ...listProperty("AllowedMemoryNodes", resources.cpu?.mems, systemd),
    ...unifiedProperties(resources.unified ?? {}, systemd),
  ];
}

/** As it is written to the file. */
function swapProperty({ memory = {} }: Resources): Property[] {
  const writes = settingsOf({ memory }).flatMap(({ v2 }) => (Array.isArray(v2) ? v2 : []));
  const swap = writes.find(({ file }) => file === "memory.swap.max");
  return swap ? [property("MemorySwapMax", "t", amountOf(swap.value))] : [];
}

const amountOf = (text: string): bigint => (text === "max" ? INFINITY : BigInt(text));

function cpuProperties({ cpu = {} }: Resources, version: "v1" | "v2", systemd: number): Property[] {
  const { shares, quota, period, idle } = cpu;
  const properties = quotaProperties(quota, period, systemd);
  // without a weight, it is idle: since systemd 252
  if (version === "v2" && idle === 1 && systemd >= 252) return [...properties, property("CPUWeight", "t", 0n)];
  if (shares === undefined) return properties;
  return [
    ...properties,
    version === "v2"
      ? property("CPUWeight", "t", BigInt(weightOfShares(shares)))
      : property("CPUShares", "t", BigInt(shares)),
  ];
}

function quotaProperties(quota: number | undefined, period: number | undefined, systemd: number): Property[] {
  if (quota === undefined && period === undefined) return [];
  const perSecond =
    quota === undefined || quota < 0 ? INFINITY : BigInt(perSecondUs(quota, period ?? DEFAULT_PERIOD_US));
  const length = period !== undefined && systemd >= 242 ? [property("CPUQuotaPeriodUSec", "t", BigInt(period))] : [];
  return [...length, property("CPUQuotaPerSecUSec", "t", perSecond)];
}

const perSecondUs = (quota: number, period: number): number =>
  Math.ceil(Math.floor((quota * 1e6) / period) / PERCENT_US) * PERCENT_US;

/** Idle and a weight are one property: undefined where only one of them is said. */
export function withoutWeight({ cpu, unified, ...others }: Resources): Resources | undefined {
  const { shares, ...rest } = cpu ?? {};
  const { "cpu.weight": weight, ...files } = unified ?? {};
  const isIdle = rest.idle === 1 || files["cpu.idle"]?.trim() === "1";
  if (!isIdle || (shares === undefined && weight === undefined)) return undefined;
  return { ...others, cpu: rest, unified: files };
}

/** The quota that systemd will write: groups below may count on what they were promised. */
export function roundQuota(resources: Resources): Resources {
  const { quota, period = DEFAULT_PERIOD_US } = resources.cpu ?? {};
  if (quota === undefined || quota < 0) return resources;
  return { ...resources, cpu: { ...resources.cpu, quota: Math.floor((perSecondUs(quota, period) * period) / 1e6) } };
}

/** A bit for each, since systemd 244. @throws TsboxError `invalid_option` */
function listProperty(name: string, text: string | undefined, systemd: number): Property[] {
  if (text === undefined || systemd < 244) return [];
  const numbers = listOf(text);
  if (!numbers) {
    throw new TsboxError(`use the list ${JSON.stringify(text)}: not understood`, {
      code: "invalid_option",
      hint: '"0-2,5"',
    });
  }
  const bits = new Uint8Array(Math.floor(Math.max(...numbers) / 8) + 1);
  for (const number of numbers) bits[number >> 3] = (bits[number >> 3] as number) | (1 << (number & 7));
  return [property(name, "ay", bits)];
}

const UNIFIED: Record<string, string> = {
  "memory.min": "MemoryMin",
  "memory.low": "MemoryLow",
  "memory.high": "MemoryHigh",
  "memory.max": "MemoryMax",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
  "cpu.weight": "CPUWeight",
};

/** What there is no property for, and what is no number, is left to the file. */
function unifiedProperties(unified: Readonly<Record<string, string>>, systemd: number): Property[] {
  return Object.entries(unified).flatMap(([file, given]): Property[] => {
    const text = given.trim();
    if (file === "cpuset.cpus") return listProperty("AllowedCPUs", text, systemd);
    if (file === "cpuset.mems") return listProperty("AllowedMemoryNodes", text, systemd);
    if (file === "cpu.idle") return text === "1" && systemd >= 252 ? [property("CPUWeight", "t", 0n)] : [];
    if (file === "cpu.max") {
      const [, quota, period] = /^(max|\d+)(?: (\d+))?$/.exec(text) ?? [];
      if (quota === undefined) return [];
      return quotaProperties(quota === "max" ? -1 : Number(quota), Number(period ?? DEFAULT_PERIOD_US), systemd);
    }
    const name = UNIFIED[file];
    if (name === undefined || !/^(max|\d{1,19})$/.test(text)) return [];
    return [property(name, "t", file === "pids.max" && text === "0" ? 1n : amountOf(text))];
  });
}

/**
 * The rules as systemd has them, where it can: it only knows what is allowed. Version 1 forgets its own list whenever
 * systemd is reloaded; with version 2, the program of the group stays.
 */
export function deviceProperties(rules: readonly DeviceRule[]): Property[] {
  const allowed = allowedOnly(rules);
  if (!allowed) return [];
  const entries = allowed.map(({ type, major, minor, access = "rwm" }) => [pathOfDevice(type, major, minor), access]);
  return [
    property("DevicePolicy", "s", "strict"),
    // an empty list takes back what was there
    property("DeviceAllow", "a(ss)", []),
    property("DeviceAllow", "a(ss)", entries),
  ];
}

/** What is allowed after all has been denied; undefined where a rule in between says otherwise, or has no words there. */
function allowedOnly(rules: readonly DeviceRule[]): DeviceRule[] | undefined {
  if (!v1DeviceLines(rules)) return undefined;
  const last = rules.findLastIndex(({ type = "a" }) => type === "a");
  if (rules[last]?.allow !== false) return undefined;
  const rest = rules.slice(last + 1);
  const hasWords = rest.every(({ allow, major = -1, minor = -1 }) => allow && (major >= 0 || minor < 0));
  return hasWords ? rest : undefined;
}

function pathOfDevice(type: DeviceRule["type"], major = -1, minor = -1): string {
  const kind = type === "b" ? "block" : "char";
  if (major < 0) return `${kind}-*`;
  return minor < 0 ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}
