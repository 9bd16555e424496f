/**
 * From the flags of `tsbox run` to the library's options; what the values mean beyond their syntax is checked there.
 * @module
 */
import { TsboxError } from "../sandbox/index.ts";
import { CAPABILITIES } from "../plan/index.ts";
import { absolute, capabilityName, DEFAULT_CAPABILITIES } from "../sandbox/index.ts";
import { resolveDockerProfile, type DockerProfile } from "../seccomp/index.ts";
import type { BandwidthLimit, IoLimit, Limits, RunOptions, SecurityOptions } from "../index.ts";
import type { IdMapping } from "../spec/index.ts";
import type { RunFlags } from "./flags.ts";
import { invalid } from "./invalid.ts";
import { device, mount, ofSandboxes, tmpfs, volume } from "./mount-flags.ts";

/** What flags can refer to. */
export interface World {
  env: Record<string, string | undefined>;
  /** Undefined: the one there is, if it is needed. */
  cwd: string | undefined;
  readFile(path: string): string;
  arch: "x64" | "arm64";
  /** `"6.18.0"` */
  kernelRelease(): string;
}

/** Far more than anybody writes; a device may have no end. */
const MOST_BYTES = 16 * 2 ** 20;

/** It may be a pipe: shells make one of `<(…)`. */
function bounded(path: string): Uint8Array {
  const { closeSync, openSync, readSync } = process.getBuiltinModule("node:fs");
  const fd = openSync(path, "r");
  try {
    const parts: Uint8Array[] = [];
    for (let length = 0; length <= MOST_BYTES;) {
      const part = Buffer.alloc(65536);
      const count = readSync(fd, part);
      if (count === 0) return Buffer.concat(parts);
      length += count;
      parts.push(part.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
  throw Object.assign(new Error("too long"), { code: "EFBIG" });
}

/** Parts of the runtime are loaded by the flags that need them (measured: up to two milliseconds). */
export function callersWorld(): World {
  return {
    env: process.env,
    cwd: undefined,
    readFile: (path) => new TextDecoder("utf-8", { fatal: true }).decode(bounded(path)),
    arch: process.arch === "arm64" ? "arm64" : "x64",
    kernelRelease: () => process.getBuiltinModule("node:os").release(),
  };
}

/**
 * @param words an image, its command and arguments; or these alone, where there is another root filesystem
 * @throws TsboxError `invalid_option`
 */
export function runRequest(words: string[], given: RunFlags, world: World): { command: string[]; options: RunOptions } {
  const flags = meant(given);
  if (flags.rootfs !== undefined) return { command: words, options: runOptions(undefined, flags, world) };
  const [image = "", ...command] = words;
  return { command, options: runOptions(image, flags, world) };
}

const MAY_BE_EMPTY =
  "user workdir hostname domainname name platform stopSignal cgroupParent cpusetCpus cpusetMems ip ip6 macAddress logDriver volumeDriver pull pid ipc uts userns cgroupns";
const MAY_BE_ZERO = "memory memoryReservation memorySwap cpus cpuShares cpuPeriod cpuQuota blkioWeight";
/** Docker's words for what is so anyway. */
const DEFAULTS: Record<string, RegExp> = {
  ...Object.fromEntries(MAY_BE_EMPTY.split(" ").map((name) => [name, /^$/])),
  ...Object.fromEntries(MAY_BE_ZERO.split(" ").map((name) => [name, /^0+(?:\.0*)?$/])),
  pidsLimit: /^(?:0|-\d+)$/,
  memorySwappiness: /^-1$/,
  isolation: /^(?:default)?$/i,
};

/** Without flags that say what is so without them, as scripts do: `-u "$USER_OR_NOTHING"`, `--cpus 0`. */
export function meant<Flags extends RunFlags>(flags: Flags): Flags {
  const says = ([name, value]: [string, unknown]) => !(typeof value === "string" && DEFAULTS[name]?.test(value));
  return Object.fromEntries(Object.entries(flags).filter(says)) as Flags;
}

/** @param image undefined where `--rootfs` is there */
function runOptions(image: string | undefined, flags: RunFlags, world: World): RunOptions {
  const { writableLayer } = flags;
  return {
    ...sharedOptions(image, flags, world),
    ...stdio(flags),
    mounts: ofSandboxes([
      ...(flags.volume ?? []).map((text) => volume(text, world.cwd)),
      ...(flags.mount ?? []).map((text) => mount(text, world.cwd)),
      ...(flags.tmpfs ?? []).map(tmpfs),
    ]),
    ...defined({ writableLayer, network: networkOf(flags) }),
  };
}

/** What sandboxes and containers have in common; by {@link sharedOptions}. */
export type SharedOptions = Omit<
  RunOptions,
  "stdin" | "stdout" | "stderr" | "terminal" | "mounts" | "network" | "writableLayer" | "signal"
>;

/**
 * @param image undefined where `--rootfs` is there
 * @throws TsboxError `invalid_option`
 */
export function sharedOptions(image: string | undefined, flags: RunFlags, world: World): SharedOptions {
  if (flags.init === false) throw invalid("--init", "false", "pid 1 is always an init here", "leave it out");
  if (flags.isolation !== undefined)
    throw invalid("--isolation", flags.isolation, 'there is one way, "default"', "leave it out");
  const options: SharedOptions = {
    ...rootOf(image, flags),
    env: environment(flags, world),
    limits: limits(flags),
    ulimits: Object.fromEntries((flags.ulimit ?? []).map(ulimit)),
    namespaces: namespaces(flags),
    security: security(flags, world),
  };
  if (flags.device !== undefined) options.devices = flags.device.map(device);
  // as Docker's: 0 says nothing
  if (flags.shmSize !== undefined && flags.shmSize !== "0") options.shmSize = flags.shmSize;
  if (flags.workdir !== undefined) options.cwd = flags.workdir;
  if (flags.user !== undefined) options.user = flags.user;
  if (flags.hostname !== undefined) options.hostname = flags.hostname;
  if (flags.cgroupParent !== undefined) options.cgroupParent = `/${flags.cgroupParent.replace(/^\//, "")}`;
  if (flags.domainname !== undefined) options.domainname = flags.domainname;
  if (flags.groupAdd !== undefined) options.groups = flags.groupAdd;
  if (flags.umask !== undefined) options.umask = umask(flags.umask);
  if (flags.uidmap !== undefined) options.uidMappings = flags.uidmap.map((map) => idMapping("--uidmap", map));
  if (flags.gidmap !== undefined) options.gidMappings = flags.gidmap.map((map) => idMapping("--gidmap", map));
  if (flags.oomScoreAdj !== undefined) options.oomScoreAdj = integer("--oom-score-adj", flags.oomScoreAdj);
  if (flags.sysctl !== undefined) options.sysctls = Object.fromEntries(flags.sysctl.map(sysctl));
  if (flags.bun !== undefined) options.runtime = flags.bun;
  return options;
}

const OF_IMAGES = ["pull", "quiet", "platform", "entrypoint"] as const;
const PULLS = ["always", "missing", "never"] as const;

function rootOf(image: string | undefined, flags: RunFlags): Pick<RunOptions, "rootfs" | "image" | "entrypoint"> {
  const { rootfs, pull = "missing", platform, entrypoint } = flags;
  if (image === undefined) {
    const useless = OF_IMAGES.find((name) => flags[name] !== undefined);
    if (useless !== undefined)
      throw invalid(`--${useless}`, String(flags[useless]), "there is no image with --rootfs", "leave it out");
    return { rootfs: rootfs ?? "host" };
  }
  const wanted = PULLS.find((word) => word === pull);
  if (!wanted) throw invalid("--pull", pull, "not understood", PULLS.join(", "));
  return { image: { reference: image, pull: wanted, ...defined({ platform }) }, ...defined({ entrypoint }) };
}

export type Stream = "stdin" | "stdout" | "stderr";
const STREAMS: readonly Stream[] = ["stdin", "stdout", "stderr"];

/** As Docker's `--attach`, of which `-i` is a part. @throws TsboxError `invalid_option` */
export function attachedStreams({ attach, interactive = false }: Pick<RunFlags, "attach" | "interactive">): Stream[] {
  const words = attach?.map((name) => name.toLowerCase());
  const unknown = words?.findIndex((name) => !STREAMS.some((each) => each === name)) ?? -1;
  if (unknown >= 0) throw invalid("--attach", attach?.[unknown] ?? "", "not understood", "stdin, stdout or stderr");
  return STREAMS.filter((each) => words?.includes(each) ?? each !== "stdin").concat(
    interactive && !words?.includes("stdin") ? ["stdin"] : [],
  );
}

/** As Docker's. */
export const TERMINAL = { name: "xterm" } as const;

function stdio(flags: RunFlags): Pick<RunOptions, "stdin" | "stdout" | "stderr" | "terminal"> {
  const streams = attachedStreams(flags);
  if (flags.tty) {
    if (flags.attach) throw invalid("--attach", flags.attach.join(), "with -t there are no streams", "leave it out");
    return { terminal: { ...TERMINAL } };
  }
  const joined = (name: Stream) => (streams.includes(name) ? "inherit" : "ignore");
  return { stdin: joined("stdin"), stdout: joined("stdout"), stderr: joined("stderr") };
}

/**
 * Files first, in their order, then `-e`; a name without a value is the caller's variable, and not even the image's
 * where there is none.
 */
export function environment(
  flags: Pick<RunFlags, "env" | "envFile">,
  world: World,
): Record<string, string | undefined> {
  const env: Record<string, string | undefined> = {};
  const set = (flag: string, word: string) => {
    const equals = word.indexOf("=");
    const name = equals < 0 ? word : word.slice(0, equals);
    if (name === "") throw invalid(flag, word, "no name", '"NAME=value", or "NAME" for the caller\'s value');
    env[name] = equals < 0 ? world.env[name] : word.slice(equals + 1);
  };
  for (const path of flags.envFile ?? []) {
    for (const line of envFileLines(path, readFile("--env-file", path, world))) set(`--env-file ${path}:`, line);
  }
  for (const word of flags.env ?? []) set("--env", word);
  return env;
}

/** Docker's format: a variable per line, taken as it is; empty lines and lines that begin with `#` are skipped. */
export function envFileLines(path: string, text: string, flag = "--env-file"): string[] {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const spaced = lines.find((line) => /^[^=]*\s/.test(line));
  if (spaced !== undefined) throw invalid(`${flag} ${path}:`, spaced, "a name contains no white space");
  return lines;
}

export function readFile(flag: string, path: string, world: World): string {
  try {
    return world.readFile(absolute(path, world.cwd));
  } catch (cause) {
    const why = cause instanceof TypeError ? "not UTF-8" : ((cause as { code?: string }).code ?? "cannot be read");
    throw new TsboxError(`use ${flag} ${JSON.stringify(path)}: ${why}`, { code: "invalid_option", path, cause });
  }
}

export function limits(flags: RunFlags): Limits {
  const { memory, memoryReservation, cpusetCpus, cpusetMems, disk, traffic } = flags;
  const result: Limits = {
    ...numbers(flags),
    ...defined({ memory, memoryReservation, cpusetCpus, cpusetMems, disk, traffic }),
    ...defined({ time: duration("--timeout", flags.timeout), cpuTime: duration("--cpu-time", flags.cpuTime) }),
  };
  if (flags.memorySwap !== undefined) result.memorySwap = flags.memorySwap === "-1" ? Infinity : flags.memorySwap;
  if (flags.oomKillDisable !== undefined) result.oomKill = !flags.oomKillDisable;
  if (flags.optionalLimits !== undefined) result.optional = flags.optionalLimits;
  if (flags.bandwidth !== undefined) result.bandwidth = bandwidth(flags.bandwidth);
  const io = ioLimits(flags);
  if (io.length > 0) result.io = io;
  return result;
}

/** `"down=10mbit,up=2mbit,burst=64k"` */
function bandwidth(text: string): BandwidthLimit {
  const example = '"down=10mbit,up=2mbit,burst=64k"';
  const words = text.split(",").map((word) => /^(down|up|burst)=(.+)$/.exec(word)?.slice(1));
  if (words.includes(undefined) || new Set(words.map((word) => word?.[0])).size < words.length)
    throw invalid("--bandwidth", text, "not understood", example);
  return Object.fromEntries(words as [string, string][]) as BandwidthLimit;
}

const NUMBERS = [
  ["memorySwappiness", "memorySwappiness", "--memory-swappiness"],
  ["cpus", "cpus", "--cpus"],
  ["cpuShares", "cpuShares", "--cpu-shares"],
  ["cpuPeriod", "cpuPeriodUs", "--cpu-period"],
  ["cpuQuota", "cpuQuotaUs", "--cpu-quota"],
  ["pidsLimit", "pids", "--pids-limit"],
] as const;
/** Docker's word for no limit. */
const UNLIMITED = new Set(["--cpu-quota -1", "--pids-limit -1"]);

function numbers(flags: RunFlags): Limits {
  const result: Limits = {};
  for (const [name, limit, flag] of NUMBERS) {
    const text = flags[name];
    if (text !== undefined && !UNLIMITED.has(`${flag} ${text}`)) result[limit] = number(flag, text);
  }
  return result;
}

/** Without those that are not given. */
export const defined = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]: Exclude<T[Name], undefined>;
  };

function duration(flag: string, text: string | undefined): string | undefined {
  if (text !== undefined && /^[\d.]+$/.test(text)) throw invalid(flag, text, "no unit", `"${text}s" or "${text}ms"`);
  return text;
}

const DEVICE_LIMITS = [
  ["deviceReadBps", "readBps", "--device-read-bps", "/dev/sda:1mb"],
  ["deviceWriteBps", "writeBps", "--device-write-bps", "/dev/sda:1mb"],
  ["deviceReadIops", "readIops", "--device-read-iops", "/dev/sda:100"],
  ["deviceWriteIops", "writeIops", "--device-write-iops", "/dev/sda:100"],
  ["blkioWeightDevice", "weight", "--blkio-weight-device", "/dev/sda:200"],
] as const;

function ioLimits(flags: RunFlags): IoLimit[] {
  const all: IoLimit[] = [];
  if (flags.blkioWeight !== undefined) all.push({ weight: number("--blkio-weight", flags.blkioWeight) });
  for (const [name, limit, flag, example] of DEVICE_LIMITS) {
    for (const text of flags[name] ?? []) {
      const colon = text.lastIndexOf(":");
      if (colon <= 0) throw invalid(flag, text, "not understood", `"${example}"`);
      const value = text.slice(colon + 1);
      all.push({ device: text.slice(0, colon), [limit]: limit.endsWith("Bps") ? value : number(flag, value) });
    }
  }
  return all;
}

function number(flag: string, text: string): number {
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) throw invalid(flag, text, "not a number");
  return Number(text);
}

function integer(flag: string, text: string): number {
  if (!/^-?\d+$/.test(text)) throw invalid(flag, text, "not a whole number");
  return Number(text);
}

export function ulimit(text: string): [name: string, limits: [soft: number, hard: number]] {
  const [, name, soft, hard = soft] = /^([a-z]+)=(-1|unlimited|\d+)(?::(-1|unlimited|\d+))?$/.exec(text) ?? [];
  if (name === undefined) throw invalid("--ulimit", text, "not understood", '"nofile=1024" or "nofile=1024:2048"');
  return [name, [amount(soft), amount(hard)]];
}

const amount = (word = "") => (word === "-1" || word === "unlimited" ? Infinity : Number(word));

const isPath = (sharing: string): sharing is `ns:${string}` => sharing.startsWith("ns:");

/** As Podman's, where root runs it: `"CONTAINER:HOST:SIZE"`. */
function idMapping(flag: string, text: string): IdMapping {
  const [, containerID, hostID, size = "1"] = /^(\d+):(\d+)(?::(\d+))?$/.exec(text) ?? [];
  if (containerID === undefined) throw invalid(flag, text, "not understood", '"0:100000:65536"');
  return { containerID: Number(containerID), hostID: Number(hostID), size: Number(size) };
}

function umask(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text)) throw invalid("--umask", text, "not an octal number", '"0077"');
  return Number.parseInt(text, 8);
}

function sysctl(text: string): [name: string, value: string] {
  const [, name, value] = /^([^=]+)=([^]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw invalid("--sysctl", text, "no value", '"net.ipv4.ip_forward=1"');
  return [name, value];
}

/** `--allow` and `--deny` are a policy, and that a network of its own. */
function networkOf(flags: RunFlags): RunOptions["network"] {
  const names = flags.network ?? flags.net ?? [];
  const name = names.at(-1);
  const { allow, deny } = flags;
  if (!allow && !deny) return names.length > 1 ? names : name === undefined ? undefined : network(name);
  if (name !== undefined)
    throw invalid("--network", name, "there are --allow and --deny, which make another one", "leave one of them out");
  return defined({ allow, deny });
}

const network = (name: string): RunOptions["network"] => (name === "none" ? false : name);

function namespaces(flags: RunFlags): NonNullable<RunOptions["namespaces"]> {
  const wanted = { pid: flags.pid, ipc: flags.ipc, uts: flags.uts, user: flags.userns, cgroup: flags.cgroupns };
  const flagNames = { pid: "--pid", ipc: "--ipc", uts: "--uts", user: "--userns", cgroup: "--cgroupns" };
  const result: NonNullable<RunOptions["namespaces"]> = {};
  for (const name of Object.keys(wanted) as (keyof typeof wanted)[]) {
    const sharing = wanted[name];
    if (sharing === undefined) continue;
    if (sharing === "host" || sharing === "private" || isPath(sharing)) result[name] = sharing;
    // every container's own can be shared
    else if (name === "ipc" && sharing === "shareable") result.ipc = "private";
    else if (name === "ipc" && sharing === "none") result.ipc = sharing;
    else if (name === "user" && sharing === "auto") result.user = sharing;
    else throw invalid(flagNames[name], sharing, "not understood", "host, private or ns:PATH");
  }
  return result;
}

export function security(flags: RunFlags, world: World): SecurityOptions {
  const result: SecurityOptions = {};
  if (flags.readOnly !== undefined) result.readOnly = flags.readOnly;
  if (flags.deviceCgroupRule !== undefined) result.deviceRules = flags.deviceCgroupRule;
  const named = flags.capAdd || flags.capDrop ? capabilities(flags.capAdd ?? [], flags.capDrop ?? []) : undefined;
  if (named) result.capabilities = named;
  if (flags.privileged !== undefined) result.privileged = flags.privileged;
  for (const text of flags.securityOpt ?? []) {
    const [, name, value] = /^([^=:]*)(?:[=:]([^]*))?$/.exec(text) ?? [];
    if (name === "no-new-privileges" && (value === undefined || value === "true" || value === "false")) {
      result.noNewPrivileges = value !== "false";
    } else if (name === "landlock" && (value === "default" || value === "none")) {
      result.landlock = value;
    } else if (name === "systempaths" && value === "unconfined") {
      result.systemPaths = "none";
    } else if ((name === "apparmor" && value === "unconfined") || (name === "label" && value === "disable")) {
      // it always is so: there are no profiles and no labels here
    } else if (name === "seccomp" && value) {
      result.seccomp = seccomp(value, flags.privileged ? CAPABILITIES : (named ?? DEFAULT_CAPABILITIES), world);
    } else {
      const hint =
        "seccomp=unconfined, seccomp=FILE.json, landlock=default, landlock=none, systempaths=unconfined, apparmor=unconfined, label=disable or no-new-privileges[=false]";
      throw invalid("--security-opt", text, "not supported", hint);
    }
  }
  return result;
}

/** As Docker: adding ALL wins over dropping ALL; next to a name, what is added wins over what is dropped. */
function capabilities(add: string[], drop: string[]): string[] {
  const [added, dropped] = [add.map(nameOrAll), drop.map(nameOrAll)];
  if (added.includes("ALL")) return CAPABILITIES.filter((name) => !dropped.includes(name));
  const kept = dropped.includes("ALL") ? [] : DEFAULT_CAPABILITIES.filter((name) => !dropped.includes(name));
  return [...new Set([...kept, ...added])];
}

const nameOrAll = (name: string) => (/^all$/i.test(name) ? "ALL" : capabilityName(name));

/** A file may be an OCI profile or have the format of Docker's own, with rules that depend on capabilities. */
function seccomp(value: string, allowed: readonly string[], world: World): NonNullable<SecurityOptions["seccomp"]> {
  if (value === "unconfined") return "none";
  if (value === "builtin") return "default";
  const text = readFile("--security-opt seccomp", value, world);
  let profile: DockerProfile;
  try {
    profile = JSON.parse(text) as DockerProfile;
  } catch (cause) {
    const message = `use --security-opt seccomp ${JSON.stringify(value)}: not JSON`;
    throw new TsboxError(message, { code: "invalid_option", path: value, cause });
  }
  if (typeof profile !== "object" || typeof profile?.defaultAction !== "string") {
    throw invalid("--security-opt seccomp", value, "not a seccomp profile", 'it has no "defaultAction"');
  }
  return resolveDockerProfile(profile, {
    arch: world.arch,
    kernelRelease: world.kernelRelease(),
    capabilities: allowed,
  });
}
