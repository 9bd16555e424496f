/**
 * Request to specification: what a caller asked for as an OCI runtime spec, and what the spec cannot say beside it.
 * @module
 */
import { absolute, access, ARCH, effectiveUid, kindOfPath, TsboxError, show } from "../../syscalls/index.ts";
import type { Beside, Root } from "../plan/index.ts";
import { compilePolicy } from "../policy/index.ts";
import { defaultProfile, denyLeavingGroup, notifies } from "../seccomp/index.ts";
import type { Mount, Process, SeccompProfile, Spec } from "../spec/index.ts";
import {
  additionalGidsOf,
  attributesOf,
  domainnameOf,
  kernelAttributesOf,
  networkSysctls,
  umaskOf,
} from "./attributes.ts";
import { capabilitySets } from "./capabilities.ts";
import { checkChoice, checkHostPath, checkKeys, checkObject, checkPath, checkText, invalid } from "../options/index.ts";
import { HOST_ACCOUNTS, hostRoot } from "./host.ts";
import { landlockOf } from "./landlock.ts";
import { diskLimitOf, rlimitsOf } from "./limits.ts";
import { hasOneId, hasPolicy, idMaps, namespacesOf, owns, policyOf, PASTA, type Namespaces } from "./namespaces.ts";
import {
  createdSources,
  filesOf,
  imagesOf,
  PRIVATE_DIRECTORIES,
  privateMounts,
  requestedMounts,
  standardMounts,
  subpathsOf,
  volumesOf,
} from "./mounts.ts";
import type { MountOption, SandboxOptions, SecurityOptions, SpawnOptions } from "./options.ts";
import { StackedRoot, type Request } from "./stacked-root.ts";
import { portsOf } from "./published-ports.ts";
import { RESOLVER_FILE, resolverFile } from "./resolver-file.ts";
import { resourcesOf } from "./resources.ts";
import { RUNTIME_TARGET, runtimeEnvironment, runtimeMount, wantsRuntime } from "./runtime.ts";
import { privilegedMounts } from "./privileged.ts";
import { terminalOf } from "./terminal.ts";
import { findUser, type Accounts, type User } from "../accounts/index.ts";
import type { Volume } from "./volume.ts";

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

const SANDBOX_OPTIONS = [
  "rootfs hostname env user cwd mounts runtime limits cgroupParent network ports namespaces security ulimits signal",
  "writableLayer devices shmSize groups umask domainname sysctls personality scheduler ioPriority cpuAffinity",
  "oomScoreAdj timeOffsets uidMappings gidMappings",
]
  .join(" ")
  .split(" ");
const STDIO_OPTIONS = ["stdin", "stdout", "stderr", "terminal"];

export interface Requested {
  spec: Spec;
  beside: Beside;
  /** Of other sandboxes, by their mount points. */
  volumes?: ReadonlyMap<string, Volume>;
}

/**
 * @param args the command; none for a sandbox that waits for processes to join
 * @throws TsboxError `invalid_option`, `rootfs_not_found`, `mount_failed`, `user_not_found`
 */
export function specFor(args: string[], request: Request): Requested {
  checkOptions(request, args.length === 0 ? [] : STDIO_OPTIONS);
  const options = wantsRuntime(args[0], request, PATH) ? { ...request, runtime: true } : request;
  const { root, mounts, path } = rootOf(options, args.length === 0);
  const process = processFor(args, options, {}, options);
  const hostname = hostnameOf(options);
  const namespaces = namespacesOf(options);
  const ownMounts = owns(namespaces, "mount");
  const privileged = effectiveUid() === 0;
  const userNamespace = namespaces.some(({ type }) => type === "user");
  const whole = options.security?.privileged === true;
  const host = { idMapped: privileged && userNamespace, userNamespace, whole };
  const requested = ownMounts ? requestedMounts(options, host) : [];
  const standard = ownMounts ? standardMounts(namespaces, privileged, options) : [];
  const policy = policyOf(options);
  if (policy) compilePolicy(policy);
  const maps = idMaps(namespaces, process.user, options);
  // written to a proc of its own, in a network of its own user namespace's, or of the host's
  const opensPorts =
    owns(namespaces, "network") &&
    userNamespace === owns(namespaces, "user") &&
    standard.some(({ destination, type }) => destination === "/proc" && type === "proc");
  const resolver = hasWayOut(options) && ownMounts ? resolverFile(options, requested) : undefined;
  const spec: Spec = {
    ociVersion: "1.2.0",
    process,
    root: { path, readonly: options.security?.readOnly ?? root.kind === "tmpfs" },
    hostname,
    ...domainnameOf(options),
    mounts: ownMounts
      ? [
          ...mounts,
          ...(whole ? privilegedMounts(standard) : standard),
          ...(options.runtime ? [runtimeMount()] : []),
          ...requested,
          ...(resolver?.mounts ?? []),
        ]
      : [],
    linux: {
      namespaces,
      ...maps,
      resources: resourcesOf(options),
      ...cgroupsPathOf(options),
      ...kernelAttributesOf(options, opensPorts ? networkSysctls(maps.gidMappings) : undefined),
      ...(ownMounts && options.security?.systemPaths !== "none"
        ? { maskedPaths: maskedPaths(options, privileged), readonlyPaths: READ_ONLY }
        : {}),
    },
  };
  const seccomp = seccompOf(options, namespaces, process.capabilities?.bounding ?? []);
  if (seccomp) spec.linux.seccomp = seccomp;
  const landlock = landlockOf(options.security, spec, root);
  if (landlock) spec.linux.landlock = landlock;
  const created = createdSources(options);
  const [subpaths, images] = [subpathsOf(options), imagesOf(options)];
  const files = { ...filesOf(options), ...resolver?.files };
  const volumes = volumesOf(options);
  const ownIds = privileged && options.namespaces?.user === "auto" ? { ownIds: true } : {};
  const beside: Beside = {
    root,
    idle: args.length === 0,
    // who shares the network of another has the sockets of that one
    ...(policy || options.network === PASTA || portsOf(options).length > 0 ? { sockets: "all" as const } : {}),
    ...(Object.keys(files).length > 0 ? { files } : {}),
    ...(created.length > 0 ? { created } : {}),
    ...(subpaths ? { subpaths } : {}),
    ...(images ? { images } : {}),
    ...ownIds,
  };
  if (!volumes) return { spec, beside };
  return { spec, beside: { ...beside, volumes: [...volumes.keys()] }, volumes };
}

/** Otherwise a setgid program would take it away, and with it what a file denies to that group (CVE-2022-36109). */
export const withOwnGroup = ({ gid, additionalGids }: Pick<User, "gid" | "additionalGids">): number[] => [
  ...new Set([gid, ...additionalGids]),
];

/** The process of a sandbox, or one that joins it: what `more` says goes before the sandbox's own options. */
export function processFor(
  args: string[],
  options: Request,
  more: SpawnOptions,
  stdio: Request | SpawnOptions = more,
): Process {
  args.forEach((arg) => checkText("argument", arg));
  const accounts = accountsOf(options);
  const { home, ...user } = findUser(checkText("user", more.user ?? options.user ?? "0:0"), accounts);
  const umask = umaskOf(options);
  const terminal = terminalOf(stdio, options);
  // those that an image gives its users, and nobody asked for
  if (options.stack && hasOneId(options)) user.additionalGids = [];
  if (options.groups !== undefined)
    user.additionalGids = [...new Set([...user.additionalGids, ...additionalGidsOf(options, accounts)])];
  if (!hasOneId(options)) user.additionalGids = withOwnGroup(user);
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
export function agentSpec(spec: Spec, options: Request): Spec {
  const process = { ...processFor([], options, { cwd: "/" }), noNewPrivileges: true };
  const seccomp = defaultProfile(process.capabilities?.bounding ?? [], ARCH);
  return { ...spec, process, linux: { ...spec.linux, seccomp } };
}

function checkOptions(options: Request, stdio: readonly string[]): void {
  const { stack, ...asked } = options;
  if (stack !== undefined && !(stack instanceof StackedRoot)) throw invalid('use the option "stack": unknown');
  checkKeys("option", asked, [...SANDBOX_OPTIONS, ...stdio]);
  checkKeys("security option", options.security, [
    "capabilities",
    "seccomp",
    "notify",
    "landlock",
    "readOnly",
    "noNewPrivileges",
    "deviceRules",
    "systemPaths",
    "privileged",
  ]);
  for (const name of ["readOnly", "noNewPrivileges", "privileged"] as const)
    checkChoice<boolean>(name, options.security?.[name], false, true);
  checkChoice<string>("system paths", options.security?.systemPaths, "default", "none");
  if ((options.namespaces?.mount ?? "private") === "private") return;
  const without = (["rootfs", "writableLayer", "mounts", "devices", "shmSize"] as const).find(
    (name) => options[name] !== undefined && options[name] !== "host",
  );
  const contradiction =
    without ??
    (options.security?.readOnly !== undefined ? "security.readOnly" : undefined) ??
    (options.limits?.disk !== undefined ? "limits.disk" : undefined);
  if (contradiction) throw invalid(`use "${contradiction}" in a shared mount namespace: nothing can be mounted there`);
}

/** @throws TsboxError `invalid_option` */
export function checkSpawnOptions(options: SpawnOptions): void {
  checkKeys("option", options, ["env", "cwd", "user", "signal", ...STDIO_OPTIONS]);
}

/** Somebody has to be asked for names. */
const hasWayOut = (options: Request): boolean => hasPolicy(options) || options.network === PASTA;

/** @throws TsboxError `rootfs_not_found`, `invalid_option` */
export function rootOf(options: Request, idle: boolean): { root: Root; mounts: Mount[]; path: string } {
  if (options.stack) return stackedRoot(options, options.stack, idle);
  const rootfs = checkHostPath("root filesystem", options.rootfs ?? "host");
  if (rootfs === "host") {
    if (options.writableLayer !== undefined) throw invalid("use a writableLayer over a view of the host: it has none");
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
    ...(hasWayOut(options) ? [RESOLVER_FILE] : []),
  ];
  // without a layer of its own there is nowhere to make a missing mount point
  const direct = options.security?.readOnly === true && targets.every((target) => existsIn(path, target));
  const limit = diskLimitOf(options);
  const layer = writableLayerOf(options, path);
  if (layer !== undefined) return { root: { kind: "overlay", layer }, mounts: [], path };
  return { root: direct ? { kind: "directory" } : { kind: "overlay", ...(limit && { limit }) }, mounts: [], path };
}

/** There is always something to write to: few images have all that is mounted on. */
function stackedRoot(
  options: Request,
  { directory, layers, writable }: StackedRoot,
  idle: boolean,
): ReturnType<typeof rootOf> {
  const limit = diskLimitOf(options);
  // of no layers, nothing can be in any
  const layer = writableLayerOf(options, layers.length > 0 ? directory : undefined);
  const apart = writable.filter((path) => !options.mounts?.some(({ target }) => absolute(target, "/") === path));
  const root: Root = {
    kind: "overlay",
    layers,
    ...(apart.length > 0 ? { writable: apart } : {}),
    ...(idle && layer === undefined ? { passed: true } : {}),
    ...(layer === undefined ? {} : { layer }),
    ...(limit ? { limit } : {}),
  };
  return { root, mounts: [], path: directory };
}

function writableLayerOf({ writableLayer, security, limits }: Request, rootfs: string | undefined): string | undefined {
  if (writableLayer === undefined) return undefined;
  const named = absolute(checkHostPath("writableLayer", writableLayer));
  if (kindOfPath(named) !== "directory") {
    throw new TsboxError(`use the writableLayer ${show(writableLayer)}: no such directory`, {
      code: "mount_failed",
      path: writableLayer,
      hint: "make it first",
    });
  }
  const { realpathSync } = process.getBuiltinModule("node:fs"); // not loaded for those who do not ask
  const [layer, root] = [realpathSync(named), rootfs && realpathSync(rootfs)];
  if (root !== undefined && (`${layer}/`.startsWith(`${root}/`) || `${root}/`.startsWith(`${layer}/`)))
    throw invalid(`use the writableLayer ${show(writableLayer)}: one of it and the root filesystem is in the other`);
  if (security?.readOnly)
    throw invalid("use a writableLayer of a root filesystem that is readOnly: nothing is written");
  if (limits?.disk !== undefined)
    throw invalid("use limits.disk with a writableLayer: that is as large as its file system lets it be");
  return layer;
}

const F_OK = 0;
const existsIn = (root: string, path: string) => access(`${root}/${path}`, F_OK);

function accountsOf({ rootfs = "host", stack }: Request): Accounts {
  if (stack) return { layers: stack.paths };
  return rootfs === "host" ? HOST_ACCOUNTS : { directory: rootfs };
}

const encoder = new TextEncoder();

function hostnameOf(options: SandboxOptions): string {
  const hostname = checkText("hostname", options.hostname ?? "tsbox");
  if (hostname === "" || encoder.encode(hostname).length > MAX_HOSTNAME_BYTES)
    throw invalid(`use the hostname ${show(hostname)}: 1 to 64 bytes`);
  return hostname;
}

/** The name of the group itself is tsbox's own. */
function cgroupsPathOf({ cgroupParent }: SandboxOptions): Pick<Spec["linux"], "cgroupsPath"> {
  if (cgroupParent === undefined) return {};
  return { cgroupsPath: `${absolute(checkPath("cgroup parent", cgroupParent)).replace(/\/$/, "")}/` };
}

const maskedPaths = (options: SandboxOptions, privileged: boolean): readonly string[] =>
  options.network === "host" && !privileged ? MASKED_HOST_SYS : MASKED;

function seccompOf(
  options: SandboxOptions,
  namespaces: Namespaces,
  capabilities: readonly string[],
): SeccompProfile | undefined {
  const wanted = options.security?.seccomp ?? "default";
  if (typeof wanted !== "object") checkChoice<string>("seccomp profile", wanted, "default", "none");
  const profile =
    wanted === "default"
      ? defaultProfile(capabilities, ARCH)
      : wanted === "none"
        ? undefined
        : (wanted as SeccompProfile);
  checkNotify(options.security, profile);
  // a shared pid namespace ends with nothing: what is killed instead is a process group, which nobody may leave
  return owns(namespaces, "pid") ? profile : denyLeavingGroup(profile);
}

/** Whoever is asked has to be there, and is asked something. */
function checkNotify(security: SecurityOptions | undefined, profile: SeccompProfile | undefined): void {
  const { notify } = security ?? {};
  if (notify !== undefined && typeof notify !== "function") throw invalid(`use notify ${show(notify)}: not a function`);
  const asks = typeof profile === "object" && profile !== null && notifies(profile);
  if (notify && !asks) throw invalid("use notify: the seccomp profile has no SCMP_ACT_NOTIFY");
  if (!asks || notify) return;
  const path: unknown = profile.listenerPath;
  if (typeof path !== "string" || !path.startsWith("/")) {
    const hint = "security.notify, or a listenerPath in the profile, which is absolute";
    throw invalid("use SCMP_ACT_NOTIFY: there is nobody to ask", hint);
  }
}

/** Later ones count; `undefined` takes a variable away. @throws TsboxError `invalid_option` */
export function environment(...layers: (Record<string, string | undefined> | undefined)[]): string[] {
  const env = Object.create(null) as Record<string, string | undefined>;
  for (const layer of layers) {
    if (layer === undefined) continue;
    checkObject("environment", layer, 'names and values: { LANG: "C" }');
    Object.assign(env, layer);
  }
  return Object.entries(env).flatMap(([name, value]) => {
    if (name === "" || name.includes("=") || name.includes("\0"))
      throw invalid(`set the variable ${show(name)}: not a name`);
    return value === undefined ? [] : `${name}=${checkText(`value of the variable ${show(name)}`, value)}`;
  });
}
