/**
 * Request to specification: what a caller asked for as an OCI runtime spec, and what the spec cannot say beside it.
 * @module
 */
import { statSync, realpathSync } from "node:fs";
import { TsboxError } from "../../syscalls/index.ts";
import type { Beside } from "../plan/index.ts";
import { CAPABILITIES, RLIMITS } from "../plan/index.ts";
import { defaultProfile } from "../seccomp/index.ts";
import type { Mount, NamespaceType, Rlimit, Spec } from "../spec/index.ts";
import { hostRoot } from "./host.ts";
import type { RunOptions, SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";
import { ARCH } from "../../syscalls/index.ts";

/** What programs in a container usually need, and no more: Docker's set without MKNOD, NET_RAW and AUDIT_WRITE. */
export const DEFAULT_CAPABILITIES = [
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT",
]
  .join(" ")
  .split(" ")
  .map((name) => `CAP_${name}`);

const MASKED = [
  ...[
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
  ].map((name) => `/proc/${name}`),
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Ids of root's sandboxes on the host: above systemd's range, below 2^31. */
export const ROOT_ID_BASE = 0x77770000;

export interface Caller {
  uid: number;
  gid: number;
}

const KNOWN = new Set(
  "rootfs hostname env user cwd mounts limits network namespaces security ulimits signal stdin stdout stderr".split(
    " ",
  ),
);
const KNOWN_LIMITS = new Set(["memory", "cpus", "pids", "time", "output"]);

const bad = (message: string, hint?: string) =>
  new TsboxError(message, { code: "invalid_option", ...(hint ? { hint } : {}) });

function checkKeys(what: string, value: object, known: Set<string>): void {
  for (const key of Object.keys(value)) {
    if (!known.has(key)) throw bad(`use the ${what} "${key}": unknown`, `known: ${[...known].join(", ")}`);
  }
}

/** @throws TsboxError `invalid_option`, `rootfs_not_found`, `mount_failed` */
export function specFor(args: string[], options: RunOptions, caller: Caller): { spec: Spec; beside: Beside } {
  checkKeys("option", options, KNOWN);
  checkKeys("limit", options.limits ?? {}, KNOWN_LIMITS);
  if (args.some((arg) => typeof arg !== "string")) throw bad("run a command: every argument has to be a string");
  const { root, rootMounts, path } = rootOf(options);
  const readonly = options.security?.readOnly ?? root.kind === "tmpfs";
  const capabilities = (options.security?.capabilities ?? DEFAULT_CAPABILITIES).map(capabilityName);
  const user = parseUser(options.user);
  const seccomp = options.security?.seccomp ?? "default";
  const effective = user.uid === 0 ? capabilities : [];
  const cwd = options.cwd ?? "/";
  if (!cwd.startsWith("/")) throw bad(`use the working directory "${cwd}": not an absolute path`);
  const hostname = options.hostname ?? "tsbox";
  if (hostname.length > 64 || hostname === "") throw bad(`use the hostname "${hostname}": 1 to 64 bytes`);
  const spec: Spec = {
    ociVersion: "1.2.0",
    process: {
      user,
      args,
      env: environment(options, hostname, user.uid),
      cwd,
      capabilities: { bounding: capabilities, effective, permitted: effective },
      rlimits: Object.entries(options.ulimits ?? {}).map(rlimit),
      noNewPrivileges: options.security?.noNewPrivileges ?? true,
    },
    root: { path, readonly },
    hostname,
    mounts: [...rootMounts, ...standardMounts(options, root.kind === "tmpfs"), ...(options.mounts ?? []).map(mountOf)],
    linux: {
      namespaces: namespaces(options).map((type) => ({ type })),
      ...idMaps(options, caller),
      resources: resources(options),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
    },
  };
  if (seccomp !== "none") spec.linux.seccomp = seccomp === "default" ? defaultProfile(capabilities, ARCH) : seccomp;
  return { spec, beside: { root, idle: args.length === 0 } };
}

function rootOf(options: SandboxOptions): { root: Beside["root"]; rootMounts: Mount[]; path: string } {
  const rootfs = options.rootfs ?? "host";
  if (rootfs === "host") {
    const { entries, mounts } = hostRoot();
    return { root: { kind: "tmpfs", entries }, rootMounts: mounts, path: "/" };
  }
  if (rootfs.includes("\0")) throw bad(`use the root filesystem ${JSON.stringify(rootfs)}: it contains a NUL byte`);
  let path: string;
  try {
    path = realpathSync(rootfs);
    if (!statSync(path).isDirectory()) throw new Error("not a directory");
  } catch (cause) {
    throw new TsboxError(`use the root filesystem "${rootfs}": no such directory`, {
      code: "rootfs_not_found",
      path: rootfs,
      hint: 'name a directory that holds a root filesystem, or "host"',
      cause,
    });
  }
  const targets = ["proc", "sys", "dev", ...(options.mounts ?? []).map((m) => m.target), options.cwd ?? "/"];
  const whole = targets.every((target) => isDirectory(`${path}/${target}`));
  // without a layer of its own there is nowhere to make a missing mount point
  const direct = options.security?.readOnly === true && whole;
  return { root: { kind: direct ? "directory" : "overlay" }, rootMounts: [], path };
}

function isDirectory(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isDirectory() ?? false;
}

function namespaces(options: SandboxOptions): NamespaceType[] {
  const wanted: NamespaceType[] = ["mount"];
  for (const type of ["pid", "uts", "ipc", "user", "cgroup"] as const) {
    const sharing = options.namespaces?.[type] ?? "private";
    if (sharing !== "private" && sharing !== "host") {
      throw bad(`use the ${type} namespace ${JSON.stringify(sharing)}: not understood`, '"private" or "host"');
    }
    if (sharing === "private") wanted.push(type);
  }
  const network = options.network ?? false;
  if (network !== false && network !== "host")
    throw bad(`use the network ${JSON.stringify(network)}: not understood`, 'false or "host"');
  if (network === false) wanted.push("network");
  return wanted;
}

function idMaps(options: SandboxOptions, caller: Caller): Partial<Spec["linux"]> {
  if (options.namespaces?.user === "host") return {};
  if (caller.uid === 0) {
    const map = [{ containerID: 0, hostID: ROOT_ID_BASE, size: 65536 }];
    return { uidMappings: map, gidMappings: map };
  }
  const { uid, gid } = parseUser(options.user);
  return {
    uidMappings: [{ containerID: uid, hostID: caller.uid, size: 1 }],
    gidMappings: [{ containerID: gid, hostID: caller.gid, size: 1 }],
  };
}

function resources(options: SandboxOptions): NonNullable<Spec["linux"]["resources"]> {
  const { memory, cpus, pids } = options.limits ?? {};
  const result: NonNullable<Spec["linux"]["resources"]> = {};
  if (memory !== undefined) result.memory = { limit: parseSize("use the memory limit", memory) };
  if (cpus !== undefined) {
    if (!(cpus >= 0.01 && cpus <= 65536)) throw bad(`use the CPU limit ${cpus}: 0.01 or more`);
    result.cpu = { period: 100_000, quota: Math.round(cpus * 100_000) };
  }
  if (pids !== undefined) {
    if (!Number.isInteger(pids) || pids < 1) throw bad(`use the process limit ${pids}: a whole number from 1`);
    result.pids = { limit: pids };
  }
  return result;
}

function environment(options: SandboxOptions, hostname: string, uid: number): string[] {
  const env: Record<string, string> = { PATH, HOME: uid === 0 ? "/root" : "/", HOSTNAME: hostname, ...options.env };
  return Object.entries(env).map(([name, value]) => {
    if (name === "" || name.includes("=")) throw bad(`set the variable ${JSON.stringify(name)}: not a name`);
    return `${name}=${value}`;
  });
}

function parseUser(user = "0:0"): { uid: number; gid: number } {
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(user === "root" ? "0:0" : user);
  if (!match) throw bad(`use the user "${user}": not understood`, 'numbers: "uid" or "uid:gid"');
  return { uid: Number(match[1]), gid: Number(match[2] ?? 0) };
}

/** `CAP_CHOWN` for `chown`, `CHOWN` and `CAP_CHOWN`. */
export function capabilityName(name: string): string {
  const full = `CAP_${name.toUpperCase().replace(/^CAP_/, "")}`;
  if (!CAPABILITIES.includes(full)) throw bad(`use the capability "${name}": unknown`, CAPABILITIES.join(", "));
  return full;
}

function rlimit([name, value]: [string, number | [number, number]]): Rlimit {
  const type = `RLIMIT_${name.toUpperCase().replace(/^RLIMIT_/, "")}`;
  if (!RLIMITS.includes(type)) throw bad(`set the limit "${name}": unknown`, RLIMITS.join(", "));
  const [soft, hard] = typeof value === "number" ? [value, value] : value;
  if (!(soft >= 0) || !(hard >= soft))
    throw bad(`set the limit "${name}" to ${soft}:${hard}: the soft limit is above the hard one`);
  return { type, soft, hard };
}

function standardMounts(options: SandboxOptions, hostView: boolean): Mount[] {
  const strict = ["nosuid", "noexec", "nodev"];
  const mounts: Mount[] = [
    { destination: "/proc", type: "proc", source: "proc", options: strict },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...strict, "mode=1777", "size=65536k"] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...strict, "ro"] },
  ];
  if (options.namespaces?.ipc !== "host")
    mounts.push({ destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: strict });
  if (hostView) {
    for (const destination of ["/tmp", "/home", "/root", "/run", "/var/tmp"]) {
      const mode = destination.endsWith("tmp") ? "mode=1777" : "mode=755";
      mounts.push({ destination, type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", mode] });
    }
  }
  return mounts;
}

function mountOf(mount: NonNullable<SandboxOptions["mounts"]>[number]): Mount {
  if (typeof mount.target !== "string" || !mount.target.startsWith("/"))
    throw bad(`mount on "${mount.target}": not an absolute path`);
  if (mount.type === "tmpfs") {
    const options = ["nosuid", "nodev", `mode=${(mount.mode ?? 0o1777).toString(8)}`];
    if (mount.size !== undefined)
      options.push(`size=${parseSize(`mount on "${mount.target}" with the size`, mount.size)}`);
    return { destination: mount.target, type: "tmpfs", source: "tmpfs", options };
  }
  if (mount.type !== "bind")
    throw bad(`mount on "${(mount as { target: string }).target}": unknown type`, '"bind" or "tmpfs"');
  try {
    const source = realpathSync(mount.source);
    return {
      destination: mount.target,
      type: "bind",
      source,
      options: ["rbind", "nosuid", "nodev", ...(mount.readOnly ? ["ro"] : [])],
    };
  } catch (cause) {
    throw new TsboxError(`mount "${mount.source}" on "${mount.target}": no such file or directory`, {
      code: "mount_failed",
      path: mount.source,
      hint: "the source has to exist on the host",
      cause,
    });
  }
}
