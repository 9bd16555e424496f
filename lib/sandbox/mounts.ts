/** What is mounted in every sandbox, and what a request adds, as the specification's mounts. @module */
import { absolute, kindOfPath, statFile, TsboxError, show } from "../../syscalls/index.ts";
import type { Beside } from "../plan/index.ts";
import type { Mount, NamespaceType } from "../spec/index.ts";
import {
  checkArray,
  checkChoice,
  checkHostPath,
  checkInteger,
  checkKeys,
  checkObject,
  checkPath,
  checkText,
  invalid,
} from "../options/index.ts";
import { checkMap, owns, type Namespaces } from "./namespaces.ts";
import type { BindMount, DeviceOption, MountOption, Propagation, SandboxOptions, Size } from "./options.ts";
import { parseSize } from "./parse.ts";
import { StackedRoot } from "./stacked-root.ts";
import { Volume } from "./volume.ts";

const STRICT = ["nosuid", "noexec", "nodev"];
const below = (options: string[]) => options.map((option) => `r${option}`);
const SHM = "/dev/shm";
const SHM_BYTES = 64 * 1024 * 1024;

const standard = new Map<string, Mount[]>();

/** The same mounts, frozen, for the same namespaces. */
export function standardMounts(
  namespaces: Namespaces,
  privileged: boolean,
  { shmSize, namespaces: wanted }: Pick<SandboxOptions, "shmSize" | "namespaces">,
): Mount[] {
  const key = `${namespaces.map(({ type, path }) => (path ? `${type}:joined` : type)).join(" ")} ${privileged}`;
  let mounts = standard.get(key);
  if (!mounts) standard.set(key, (mounts = makeStandardMounts(namespaces, privileged).map(frozen)));
  if (wanted?.ipc === "none") return mounts.filter(({ destination }) => destination !== SHM);
  return shmSize === undefined
    ? mounts
    : mounts.map((mount) => (mount.destination === SHM ? sized(mount, shmSize) : mount));
}

function sized(mount: Mount, size: Size): Mount {
  const bytes = parseSize("use the shmSize", size);
  if (bytes === 0) throw invalid("use the shmSize 0: not a size");
  return { ...mount, options: [...STRICT, "mode=1777", `size=${bytes}`] };
}

/** A mount that many sandboxes have. */
export function frozen(mount: Mount): Mount {
  Object.freeze(mount.options);
  return Object.freeze(mount);
}

/**
 * As Docker's. A kernel lets a user namespace mount proc and sysfs only for namespaces of its own: proc shows a pid
 * namespace, sysfs a network namespace. A shared one comes with the host's mount.
 */
function makeStandardMounts(namespaces: Namespaces, privileged: boolean): Mount[] {
  const has = (type: NamespaceType) => namespaces.some((namespace) => namespace.type === type);
  // what is mounted below them cannot be left out by an ordinary user
  const how = privileged ? "bind" : "rbind";
  const kernel = (destination: string, type: string, shows: NamespaceType, options: string[]): Mount =>
    has(shows) || !has("user")
      ? { destination, type, source: type, options }
      : { destination, type: "bind", source: destination, options: [how, ...below(options)] };
  const mounts: Mount[] = [
    kernel("/proc", "proc", "pid", STRICT),
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "mode=755", "size=64k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    { destination: SHM, type: "tmpfs", source: "shm", options: [...STRICT, "mode=1777", `size=${SHM_BYTES}`] },
    kernel("/sys", "sysfs", "network", [...STRICT, "ro"]),
  ];
  // a message queue file system shows an IPC namespace, and belongs to whoever made that
  if (owns(namespaces, "ipc"))
    mounts.push({ destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: STRICT });
  return mounts;
}

/** Private directories over the host's own, with `rootfs: "host"`. */
export const PRIVATE_DIRECTORIES: readonly string[] = ["/tmp", "/home", "/root", "/run", "/var/tmp"];

export function privateMounts(): Mount[] {
  return PRIVATE_DIRECTORIES.map((destination) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: [
      "nosuid",
      "nodev",
      destination.endsWith("tmp") ? "mode=1777" : destination === "/root" ? "mode=700" : "mode=755",
    ],
  }));
}

/** How mounts are made that reach the host. */
export interface Host {
  /** Files of bound directories look owned as they do outside. */
  idMapped: boolean;
  userNamespace: boolean;
  /** Setuid programs and device nodes count there as well. */
  whole: boolean;
}

/** @throws TsboxError `invalid_option`, `mount_failed` */
export function requestedMounts({ mounts, devices }: SandboxOptions, host: Host): Mount[] {
  if (mounts === undefined && devices === undefined) return [];
  const made = [
    ...checkArray("mounts", mounts ?? []).map((mount) => mountOf(mount as MountOption, host)),
    ...checkArray("devices", devices ?? []).map((device) => deviceOf(device as DeviceOption)),
  ];
  made.forEach(({ destination }, index) => {
    if (made.findIndex((mount) => mount.destination === destination) !== index) {
      throw invalid(`mount on "${destination}": two mounts have that target`);
    }
  });
  return made;
}

/** Sources that are made where they do not exist. */
export const createdSources = ({ mounts }: SandboxOptions): string[] =>
  (mounts ?? []).flatMap((mount) => (mount.type === "bind" && mount.create ? [absolute(mount.source)] : []));

/** Directories that are mounted rather than all of a source, by mount points. */
export function subpathsOf({ mounts = [] }: SandboxOptions): Record<string, string> | undefined {
  const found = mounts.flatMap((mount) =>
    mount.type === "bind" && mount.subpath !== undefined ? [[targetOf(mount.target), mount.subpath] as const] : [],
  );
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

const BIND_KEYS = [
  "type",
  "source",
  "target",
  "readOnly",
  "noExec",
  "recursive",
  "propagation",
  "create",
  "subpath",
  "uidMappings",
  "gidMappings",
];
const FILE_KEYS = ["type", "target", "content", "mode", "uid", "gid"];
const TMPFS_KEYS = ["type", "target", "size", "mode", "uid", "gid", "readOnly", "noExec"];

function mountOf(mount: MountOption, host: Host): Mount {
  checkObject("mount", mount, '{ type: "bind", source: "./src", target: "/src" }');
  checkKeys("mount", mount, [...new Set([...BIND_KEYS, ...TMPFS_KEYS, ...FILE_KEYS])]);
  const destination = targetOf(mount.target);
  if ("readOnly" in mount) checkChoice<boolean>("readOnly", mount.readOnly, false, true);
  if ("noExec" in mount) checkChoice<boolean>("noExec", mount.noExec, false, true);
  if (mount.type === "tmpfs") return tmpfs(mount, destination);
  if (mount.type === "bind") return bind(mount, destination, host);
  if (mount.type === "cgroup") return cgroup(mount, destination);
  if (mount.type === "volume") return volume(mount, destination);
  if (mount.type === "image") return image(mount, destination);
  if (mount.type === "file") return file(mount, destination);
  throw invalid(
    `mount on "${destination}": the type ${show((mount as { type: unknown }).type)} is unknown`,
    '"bind", "tmpfs", "file", "cgroup" or "volume"',
  );
}

function targetOf(target: unknown): string {
  const destination = checkPath("mount target", target).replace(/(.)\/+$/, "$1");
  if (destination === "/") throw invalid('mount on "/": that is the root filesystem', "use `rootfs`");
  return destination;
}

function tmpfs(mount: Extract<MountOption, { type: "tmpfs" }>, destination: string): Mount {
  checkKeys("tmpfs mount", mount, TMPFS_KEYS);
  const mode = mount.mode ?? 0o1777;
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw invalid(`mount on "${destination}" with the mode ${show(mode)}: 0 to 0o7777`);
  const options = ["nosuid", "nodev", `mode=${mode.toString(8)}`];
  for (const id of ["uid", "gid"] as const)
    if (mount[id] !== undefined)
      options.push(`${id}=${checkInteger(`mount on "${destination}" with the ${id}`, mount[id], 0, MAX_ID)}`);
  if (mount.readOnly) options.push("ro");
  if (mount.noExec) options.push("noexec");
  if (mount.size !== undefined)
    options.push(`size=${parseSize(`mount on "${destination}" with the size`, mount.size)}`);
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

function bind(mount: BindMount, destination: string, host: Host): Mount {
  checkKeys("bind mount", mount, BIND_KEYS);
  const wanted = checkHostPath("mount source", mount.source);
  const source = absolute(wanted);
  const create = checkChoice<boolean>("create", mount.create, false, true);
  if (!create && kindOfPath(source) === undefined) {
    throw new TsboxError(`mount ${show(wanted)} on "${destination}": no such file or directory`, {
      code: "mount_failed",
      path: wanted,
      hint: "the source has to exist on the host, or be made with `create: true`",
    });
  }
  if (mount.subpath !== undefined) checkText("subpath of a mount", mount.subpath);
  const recursive = checkChoice<boolean | "writable">("recursive", mount.recursive, true, false, "writable");
  if (recursive === "writable" && !mount.readOnly)
    throw invalid(`mount on "${destination}" with recursive "writable": only what is readOnly has an exception`);
  const options = [recursive === false ? "bind" : "rbind", ...(host.whole ? [] : ["rnosuid", "rnodev"])];
  if (mount.readOnly) options.push(recursive === "writable" ? "ro" : "rro");
  if (mount.noExec) options.push("rnoexec");
  const propagation = propagationOf(mount, destination, host);
  if (propagation !== "rprivate") options.push(propagation);
  const { uidMappings = mount.gidMappings, gidMappings = mount.uidMappings } = mount;
  if (host.idMapped || uidMappings) options.push("ridmap");
  if (!uidMappings || !gidMappings) return { destination, type: "bind", source, options };
  checkMap("uidMappings of a mount", uidMappings);
  checkMap("gidMappings of a mount", gidMappings);
  return { destination, type: "bind", source, options, uidMappings, gidMappings };
}

function cgroup(mount: Extract<MountOption, { type: "cgroup" }>, destination: string): Mount {
  checkKeys("cgroup mount", mount, ["type", "target", "readOnly"]);
  return {
    destination,
    type: "cgroup",
    source: "cgroup",
    options: [...STRICT, ...(mount.readOnly === false ? [] : ["ro"])],
  };
}

function volume(mount: Extract<MountOption, { type: "volume" }>, destination: string): Mount {
  checkKeys("volume mount", mount, ["type", "source", "target", "readOnly", "noExec"]);
  const { source, readOnly, noExec } = mount;
  if (!(source instanceof Volume))
    throw invalid(`mount ${show(source)} on "${destination}": not what box.volume gives`);
  if (!source.open) source.take(); // tells why not
  const options = ["rbind", "rnosuid", "rnodev", ...(readOnly ? ["rro"] : []), ...(noExec ? ["rnoexec"] : [])];
  return { destination, type: "bind", source: source.path, options };
}

/** Those of a request, by their mount points; there are none in nearly all. */
export function volumesOf({ mounts = [], namespaces }: SandboxOptions): ReadonlyMap<string, Volume> | undefined {
  if (!mounts.some(({ type }) => type === "volume")) return undefined;
  if (namespaces?.user === "auto")
    throw invalid('mount a volume with ids of its own (namespaces.user "auto"): its files would be nobody\'s');
  const volumes = mounts.flatMap((mount) =>
    mount.type === "volume" ? [[targetOf(mount.target), mount.source] as const] : [],
  );
  if (new Set(volumes.map(([, source]) => source)).size < volumes.length)
    throw invalid("mount a volume twice: each is for one mount point", "take another by `box.volume`");
  return new Map(volumes);
}

function image(mount: Extract<MountOption, { type: "image" }>, destination: string): Mount {
  checkKeys("image mount", mount, ["type", "source", "target", "subpath"]);
  if (!(mount.source instanceof StackedRoot))
    throw invalid(`mount the image ${show(mount.source)} on "${destination}": only a container can`);
  if (mount.subpath !== undefined) checkText("subpath of a mount", mount.subpath);
  return { destination, type: "overlay", source: mount.source.directory, options: ["ro", "nosuid", "nodev"] };
}

const MAX_FILE_BYTES = 2 ** 20;
const MAX_ID = 2 ** 32 - 2;

function file(mount: Extract<MountOption, { type: "file" }>, destination: string): Mount {
  checkKeys("file mount", mount, FILE_KEYS);
  const { content } = mount;
  if (!(content instanceof Uint8Array)) checkText("content of a file mount", content);
  if (contentOf(mount).length > MAX_FILE_BYTES)
    throw invalid(`mount on "${destination}": a file of more than ${MAX_FILE_BYTES} bytes`, "bind one of the host");
  if (mount.mode !== undefined) checkInteger("mode of a file mount", mount.mode, 0, 0o777);
  for (const name of ["uid", "gid"] as const)
    if (mount[name] !== undefined) checkInteger(`${name} of a file mount`, mount[name], 0, MAX_ID);
  return { destination, type: "tmpfs", source: "tmpfs", options: ["ro"] };
}

const contentOf = ({ content }: Extract<MountOption, { type: "file" }>): Uint8Array =>
  typeof content === "string" ? new TextEncoder().encode(content) : content;

/** Those of a request, by their mount points. */
export function filesOf({ mounts = [] }: SandboxOptions): NonNullable<Beside["files"]> {
  const found = mounts.flatMap((mount) => {
    if (mount.type !== "file") return [];
    const { mode, uid, gid } = mount;
    const attributes = Object.entries({ mode, uid, gid }).filter(([, value]) => value !== undefined);
    return [[targetOf(mount.target), { content: contentOf(mount), ...Object.fromEntries(attributes) }] as const];
  });
  return Object.fromEntries(found);
}

/** Those of a request, by their mount points. */
export function imagesOf({ mounts = [] }: SandboxOptions): Beside["images"] {
  const found = mounts.flatMap((mount) => {
    if (mount.type !== "image") return [];
    const { directory, layers } = mount.source;
    const tree = { directory, layers, ...(mount.subpath === undefined ? {} : { subpath: mount.subpath }) };
    return [[targetOf(mount.target), tree] as const];
  });
  return found.length > 0 ? Object.fromEntries(found) : undefined;
}

function propagationOf({ propagation }: BindMount, destination: string, host: Host): Propagation {
  const words = ["rprivate", "private", "rslave", "slave", "rshared", "shared"] as const;
  const wanted = checkChoice<Propagation>("propagation", propagation, ...words);
  // a mount that a sandbox makes would be the host's
  if (wanted.endsWith("shared") && host.userNamespace) {
    throw invalid(
      `mount on "${destination}" with the propagation "${wanted}": not out of a user namespace`,
      "\"rslave\" shows the host's mounts inside; or share the host's user namespace",
    );
  }
  return wanted;
}

const [S_IFMT, S_IFCHR, S_IFBLK] = [0o170000, 0o020000, 0o060000];

/** A user namespace may make no device nodes: they are bound. */
function deviceOf(device: string | DeviceOption): Mount {
  const wanted = typeof device === "string" ? { source: device } : device;
  checkObject("device", wanted, '"/dev/fuse", or { source: "/dev/fuse", target: "/dev/fuse" }');
  checkKeys("device", wanted, ["source", "target", "access"]);
  const source = absolute(checkHostPath("device", wanted.source));
  const mode = statFile(source)?.mode;
  if (mode === undefined || ![S_IFCHR, S_IFBLK].includes(mode & S_IFMT)) {
    const why = mode === undefined ? "no such file" : "not a device";
    throw new TsboxError(`use the device ${show(source)}: ${why}`, { code: "mount_failed", path: source });
  }
  return {
    destination: targetOf(wanted.target ?? source),
    type: "bind",
    source,
    options: ["bind", "nosuid", "noexec"],
  };
}
