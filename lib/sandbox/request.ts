/**
 * Request to specification: what a caller asked for as an OCI runtime spec, and what the spec cannot say beside it.
 * @module
 */
import { absolute, access, ARCH, effectiveGid, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import { CAPABILITIES, type Beside, type Root } from "../plan/index.ts";
import { defaultProfile, denyLeavingGroup } from "../seccomp/index.ts";
import type { CapabilitySets, Linux, Mount, NamespaceType, Process, SeccompProfile, Spec } from "../spec/index.ts";
import { additionalGidsOf, attributesOf, domainnameOf, kernelAttributesOf, umaskOf } from "./attributes.ts";
import {
  checkArray,
  checkChoice,
  checkHostPath,
  checkKeys,
  checkObject,
  checkPath,
  checkText,
  invalid,
  show,
} from "./check.ts";
import { HOST_ACCOUNTS, hostRoot } from "./host.ts";
import { diskLimitOf, resourcesOf, rlimitsOf } from "./limits.ts";
import { createdSources, PRIVATE_DIRECTORIES, privateMounts, requestedMounts, standardMounts } from "./mounts.ts";
import type { MountOption, RunOptions, SandboxOptions, SecurityOptions, SpawnOptions } from "./options.ts";
import { RUNTIME_TARGET, runtimeEnvironment, runtimeMount, wantsRuntime } from "./runtime.ts";
import { terminalOf } from "./terminal.ts";
import { findUser, type Accounts } from "./users.ts";

/** What programs in a container usually need, and no more: Docker's set without MKNOD, NET_RAW and AUDIT_WRITE. */
export const DEFAULT_CAPABILITIES: readonly string[] = Object.freeze(
  "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
    .split(" ")
    .map((name) => `CAP_${name}`),
);

const inDirectory = (directory: string, names: string) => names.split(" ").map((name) => `${directory}/${name}`);
const MASKED: readonly string[] = Object.freeze([
  ...inDirectory("/proc", "acpi asound interrupts kcore keys latency_stats timer_list timer_stats sched_debug scsi"),
  ...inDirectory("/sys", "firmware devices/virtual/powercap"),
]);
/** An ordinary user's view of the host's sysfs has these mounted below it. */
const MASKED_HOST_SYS: readonly string[] = Object.freeze([
  ...MASKED,
  ...inDirectory(
    "/sys",
    "fs/cgroup fs/bpf fs/pstore fs/fuse/connections kernel/debug kernel/tracing kernel/security kernel/config",
  ),
]);
const READ_ONLY: readonly string[] = Object.freeze(inDirectory("/proc", "bus fs irq sys sysrq-trigger"));
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MAX_HOSTNAME_BYTES = 64;

/** Ids of root's sandboxes on the host: above the ranges that distributions and systemd give out, below 2^31. */
export const ROOT_ID_BASE = 0x77770000;
const ROOT_ID_COUNT = 65536;

const SANDBOX_OPTIONS = [
  "rootfs hostname env user cwd mounts runtime limits network namespaces security ulimits signal",
  "devices shmSize groups umask domainname sysctls personality scheduler ioPriority cpuAffinity",
]
  .join(" ")
  .split(" ");
const STDIO_OPTIONS = ["stdin", "stdout", "stderr", "terminal"];
const NAMESPACES = ["pid", "uts", "ipc", "user", "cgroup"] as const;

/**
 * @param args the command; none for a sandbox that waits for processes to join
 * @throws TsboxError `invalid_option`, `rootfs_not_found`, `mount_failed`, `user_not_found`
 */
export function specFor(args: string[], request: RunOptions): { spec: Spec; beside: Beside } {
  checkOptions(request, args.length === 0 ? [] : STDIO_OPTIONS);
  const options = wantsRuntime(args[0], request, PATH) ? { ...request, runtime: true } : request;
  const { root, mounts, path } = rootOf(options);
  const process = processFor(args, options, {}, options);
  const hostname = hostnameOf(options);
  const namespaces = namespacesOf(options);
  const ownMounts = namespaces.includes("mount");
  const privileged = effectiveUid() === 0;
  const userNamespace = namespaces.includes("user");
  const spec: Spec = {
    ociVersion: "1.2.0",
    process,
    root: { path, readonly: options.security?.readOnly ?? root.kind === "tmpfs" },
    hostname,
    ...domainnameOf(options),
    mounts: ownMounts
      ? [
          ...mounts,
          ...standardMounts(namespaces, privileged, options.shmSize),
          ...(options.runtime ? [runtimeMount()] : []),
          ...requestedMounts(options, { idMapped: privileged && userNamespace, userNamespace }),
        ]
      : [],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      ...idMaps(options, process.user),
      resources: resourcesOf(options),
      ...kernelAttributesOf(options),
      ...(ownMounts ? { maskedPaths: maskedPaths(options, privileged), readonlyPaths: READ_ONLY } : {}),
    },
  };
  const seccomp = seccompOf(options, process.capabilities?.bounding ?? []);
  if (seccomp) spec.linux.seccomp = seccomp;
  const created = createdSources(options);
  return { spec, beside: { root, idle: args.length === 0, ...(created.length > 0 ? { created } : {}) } };
}

/** The process of a sandbox, or one that joins it: what `more` says goes before the sandbox's own options. */
export function processFor(
  args: string[],
  options: SandboxOptions,
  more: SpawnOptions,
  stdio: RunOptions | SpawnOptions = more,
): Process {
  args.forEach((arg) => checkText("argument", arg));
  const accounts = accountsOf(options);
  const { home, ...user } = findUser(checkText("user", more.user ?? options.user ?? "0:0"), accounts);
  const umask = umaskOf(options);
  const terminal = terminalOf(stdio, options);
  if (options.groups !== undefined)
    user.additionalGids = [...new Set([...user.additionalGids, ...additionalGidsOf(options, accounts)])];
  return {
    user: umask === undefined ? user : { ...user, umask },
    args,
    ...terminal.process,
    env: environment(
      {
        ...terminal.env,
        PATH,
        HOME: home,
        HOSTNAME: hostnameOf(options),
        ...(options.runtime ? runtimeEnvironment(PATH) : {}),
      },
      options.env,
      more.env,
    ),
    cwd: checkPath("working directory", more.cwd ?? options.cwd ?? "/"),
    capabilities: capabilitySets(options.security, user.uid),
    rlimits: rlimitsOf(options),
    noNewPrivileges: options.security?.noNewPrivileges ?? true,
    ...attributesOf(options),
  };
}

/**
 * The sandbox, as one that makes calls for its owner joins it: with the rights of the sandbox's user, but under the
 * default filter, as the calls are not those of whom the sandbox is for.
 */
export function agentSpec(spec: Spec, options: SandboxOptions): Spec {
  const process = { ...processFor([], options, { cwd: "/" }), noNewPrivileges: true };
  const seccomp = defaultProfile(process.capabilities?.bounding ?? [], ARCH);
  return { ...spec, process, linux: { ...spec.linux, seccomp } };
}

function checkOptions(options: RunOptions, stdio: readonly string[]): void {
  checkKeys("option", options, [...SANDBOX_OPTIONS, ...stdio]);
  checkKeys("namespace", options.namespaces, [...NAMESPACES, "mount"]);
  checkKeys("security option", options.security, ["capabilities", "seccomp", "readOnly", "noNewPrivileges"]);
  for (const name of ["readOnly", "noNewPrivileges"] as const)
    checkChoice<boolean>(name, options.security?.[name], false, true);
  if (options.namespaces?.mount !== "host") return;
  const without = (["rootfs", "mounts", "devices", "shmSize"] as const).find(
    (name) => options[name] !== undefined && options[name] !== "host",
  );
  const contradiction =
    without ??
    (options.security?.readOnly !== undefined ? "security.readOnly" : undefined) ??
    (options.limits?.disk !== undefined ? "limits.disk" : undefined);
  if (contradiction)
    throw invalid(`use "${contradiction}" in the host's mount namespace: nothing can be mounted there`);
}

/** @throws TsboxError `invalid_option` */
export function checkSpawnOptions(options: SpawnOptions): void {
  checkKeys("option", options, ["env", "cwd", "user", "signal", ...STDIO_OPTIONS]);
}

function rootOf(options: SandboxOptions): { root: Root; mounts: Mount[]; path: string } {
  const rootfs = checkHostPath("root filesystem", options.rootfs ?? "host");
  if (rootfs === "host") {
    const { entries, mounts } = hostRoot();
    const limit = diskLimitOf(options, entries);
    // one file system has one limit: then these are directories of the root
    if (limit) return { root: { kind: "tmpfs", entries, limit, writable: PRIVATE_DIRECTORIES }, mounts, path: "/" };
    return { root: { kind: "tmpfs", entries }, mounts: [...mounts, ...privateMounts()], path: "/" };
  }
  const path = absolute(rootfs);
  if (!existsIn(path, ".")) {
    throw new TsboxError(`use the root filesystem ${show(rootfs)}: no such directory`, {
      code: "rootfs_not_found",
      path: rootfs,
      hint: 'name a directory that holds a root filesystem, or "host"',
    });
  }
  const { mounts, cwd = "/" } = options;
  const asked = Array.isArray(mounts) ? mounts.map((mount: Partial<MountOption> | null) => mount?.target ?? "/") : [];
  const targets = [
    "proc",
    "sys",
    "dev",
    ...asked,
    ...(options.runtime ? [RUNTIME_TARGET] : []),
    ...(cwd === "/" ? [] : [cwd]),
  ];
  // without a layer of its own there is nowhere to make a missing mount point
  const direct = options.security?.readOnly === true && targets.every((target) => existsIn(path, target));
  const limit = diskLimitOf(options);
  return { root: direct ? { kind: "directory" } : { kind: "overlay", ...(limit && { limit }) }, mounts: [], path };
}

const F_OK = 0;
const existsIn = (root: string, path: string) => access(`${root}/${path}`, F_OK);

const accountsOf = ({ rootfs = "host" }: SandboxOptions): Accounts =>
  rootfs === "host" ? HOST_ACCOUNTS : { directory: rootfs };

const encoder = new TextEncoder();

function hostnameOf(options: SandboxOptions): string {
  const hostname = checkText("hostname", options.hostname ?? "tsbox");
  if (hostname === "" || encoder.encode(hostname).length > MAX_HOSTNAME_BYTES)
    throw invalid(`use the hostname ${show(hostname)}: 1 to 64 bytes`);
  return hostname;
}

function namespacesOf(options: SandboxOptions): NamespaceType[] {
  const own = (type: (typeof NAMESPACES)[number] | "mount") =>
    checkChoice(`${type} namespace`, options.namespaces?.[type], "private", "host") === "private";
  const types: NamespaceType[] = [...(["mount", ...NAMESPACES] as const)].filter(own);
  if (options.hostname !== undefined && !types.includes("uts"))
    throw invalid("use a hostname in the host's UTS namespace: it would be the host's");
  if (checkChoice<false | "host">("network", options.network, false, "host") === false) types.push("network");
  return types;
}

function idMaps(options: SandboxOptions, { uid, gid }: Process["user"]): Pick<Linux, "uidMappings" | "gidMappings"> {
  const [callerUid, callerGid] = [effectiveUid(), effectiveGid()];
  if (options.namespaces?.user === "host") {
    if (callerUid === 0) return {};
    throw new TsboxError("use the host's user namespace: only root may make the other namespaces there", {
      code: "permission_denied",
      hint: "leave the user namespace private, or run as root",
    });
  }
  if (callerUid === 0) {
    const map = [{ containerID: 0, hostID: ROOT_ID_BASE, size: ROOT_ID_COUNT }];
    return { uidMappings: map, gidMappings: map };
  }
  return {
    uidMappings: [{ containerID: uid, hostID: callerUid, size: 1 }],
    gidMappings: [{ containerID: gid, hostID: callerGid, size: 1 }],
  };
}

const maskedPaths = (options: SandboxOptions, privileged: boolean): readonly string[] =>
  options.network === "host" && !privileged ? MASKED_HOST_SYS : MASKED;

function capabilitySets(security: SecurityOptions | undefined, uid: number): CapabilitySets {
  const wanted = security?.capabilities;
  if (wanted !== undefined && !Array.isArray(wanted) && typeof wanted === "object") return exactly(wanted);
  const bounding = wanted === undefined ? DEFAULT_CAPABILITIES : namesOf("capabilities", wanted);
  // as execve(2) has it: root has them, others only what was raised for them
  const effective = uid === 0 ? bounding : [];
  return { bounding, effective, permitted: effective };
}

const CAPABILITY_SETS = ["bounding", "effective", "permitted", "inheritable", "ambient"] as const;

/** @see capabilities(7) */
function exactly(wanted: CapabilitySets): CapabilitySets {
  checkKeys("capability set", wanted, CAPABILITY_SETS);
  const sets: CapabilitySets = {};
  for (const set of CAPABILITY_SETS)
    if (wanted[set] !== undefined) sets[set] = namesOf(`${set} capabilities`, wanted[set]);
  const within = (set: keyof CapabilitySets, other: keyof CapabilitySets) => {
    const beyond = sets[set]?.find((name) => !sets[other]?.includes(name));
    if (beyond !== undefined) throw invalid(`use the ${set} capability "${beyond}": it is not among the ${other} ones`);
  };
  within("effective", "permitted");
  within("ambient", "permitted");
  within("ambient", "inheritable");
  within("inheritable", "bounding");
  return sets;
}

function namesOf(what: string, names: unknown): string[] {
  return checkArray(what, names).map((name) => capabilityName(name as string));
}

/** `CAP_CHOWN` for `chown`, `CHOWN` and `CAP_CHOWN`. */
export function capabilityName(name: string): string {
  const full = `CAP_${checkText("capability", name).toUpperCase().replace(/^CAP_/, "")}`;
  if (!CAPABILITIES.includes(full)) throw invalid(`use the capability ${show(name)}: unknown`, CAPABILITIES.join(", "));
  return full;
}

function seccompOf(options: SandboxOptions, capabilities: readonly string[]): SeccompProfile | undefined {
  const wanted = options.security?.seccomp ?? "default";
  if (typeof wanted !== "object") checkChoice<string>("seccomp profile", wanted, "default", "none");
  const profile =
    wanted === "default"
      ? defaultProfile(capabilities, ARCH)
      : wanted === "none"
        ? undefined
        : (wanted as SeccompProfile);
  // a shared pid namespace ends with nothing: what is killed instead is a process group, which nobody may leave
  return options.namespaces?.pid === "host" ? denyLeavingGroup(profile) : profile;
}

function environment(...layers: (Record<string, string> | undefined)[]): string[] {
  const env = Object.create(null) as Record<string, string>;
  for (const layer of layers) {
    if (layer === undefined) continue;
    checkObject("environment", layer, 'names and values: { LANG: "C" }');
    Object.assign(env, layer);
  }
  return Object.entries(env).map(([name, value]) => {
    if (name === "" || name.includes("=") || name.includes("\0"))
      throw invalid(`set the variable ${show(name)}: not a name`);
    return `${name}=${checkText(`value of the variable ${show(name)}`, value)}`;
  });
}
