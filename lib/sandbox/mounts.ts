/** What is mounted in every sandbox, and what a request adds, as the specification's mounts. @module */
import { resolve } from "node:path";
import { kindOfPath, TsboxError } from "../../syscalls/index.ts";
import type { Mount, NamespaceType } from "../spec/index.ts";
import { checkChoice, checkHostPath, checkKeys, checkPath, invalid, show } from "./check.ts";
import type { MountOption, SandboxOptions } from "./options.ts";
import { parseSize } from "./parse.ts";

const STRICT = ["nosuid", "noexec", "nodev"];
const SHM_BYTES = 64 * 1024 * 1024;

const standard = new Map<string, Mount[]>();

/** The same mounts, frozen, for the same namespaces. */
export function standardMounts(namespaces: readonly NamespaceType[], privileged: boolean): Mount[] {
  const key = `${namespaces.join(" ")} ${privileged}`;
  let mounts = standard.get(key);
  if (!mounts) standard.set(key, (mounts = makeStandardMounts(namespaces, privileged).map(frozen)));
  return mounts;
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
function makeStandardMounts(namespaces: readonly NamespaceType[], privileged: boolean): Mount[] {
  const has = (type: NamespaceType) => namespaces.includes(type);
  // what is mounted below them cannot be left out by an ordinary user
  const how = privileged ? "bind" : "rbind";
  const kernel = (destination: string, type: string, shows: NamespaceType, options: string[]): Mount =>
    has(shows) || !has("user")
      ? { destination, type, source: type, options }
      : { destination, type: "bind", source: destination, options: [how, ...options] };
  const mounts: Mount[] = [
    kernel("/proc", "proc", "pid", STRICT),
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "mode=755", "size=64k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...STRICT, "mode=1777", `size=${SHM_BYTES}`] },
    kernel("/sys", "sysfs", "network", [...STRICT, "ro"]),
  ];
  // a message queue file system shows an IPC namespace, and belongs to whoever made that
  if (has("ipc")) mounts.push({ destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: STRICT });
  return mounts;
}

/** Private directories over the host's own, with `rootfs: "host"`. */
export function privateMounts(): Mount[] {
  return ["/tmp", "/home", "/root", "/run", "/var/tmp"].map((destination) => ({
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

/** @throws TsboxError `invalid_option`, `mount_failed` */
export function requestedMounts(mounts: SandboxOptions["mounts"], idMapped: boolean): Mount[] {
  if (mounts === undefined) return [];
  if (!Array.isArray(mounts)) throw invalid(`use the mounts ${show(mounts)}: not an array`);
  const made = mounts.map((mount) => mountOf(mount, idMapped));
  made.forEach(({ destination }, index) => {
    if (made.findIndex((mount) => mount.destination === destination) !== index) {
      throw invalid(`mount on "${destination}": two mounts have that target`);
    }
  });
  return made;
}

function mountOf(mount: MountOption, idMapped: boolean): Mount {
  checkKeys("mount", mount, ["type", "source", "target", "readOnly", "size", "mode", "noExec"]);
  const destination = checkPath("mount target", mount.target).replace(/(.)\/+$/, "$1");
  if (destination === "/") throw invalid('mount on "/": that is the root filesystem', "use `rootfs`");
  checkChoice<boolean>("readOnly", mount.readOnly, false, true);
  if (mount.type === "tmpfs") return tmpfs(mount, destination);
  if (mount.type === "bind") return bind(mount, destination, idMapped);
  throw invalid(
    `mount on "${destination}": the type ${show((mount as { type: unknown }).type)} is unknown`,
    '"bind" or "tmpfs"',
  );
}

function tmpfs(mount: Extract<MountOption, { type: "tmpfs" }>, destination: string): Mount {
  checkKeys("tmpfs mount", mount, ["type", "target", "size", "mode", "readOnly", "noExec"]);
  const mode = mount.mode ?? 0o1777;
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    throw invalid(`mount on "${destination}" with the mode ${show(mode)}: 0 to 0o7777`);
  const options = ["nosuid", "nodev", `mode=${mode.toString(8)}`];
  if (mount.readOnly) options.push("ro");
  if (checkChoice<boolean>("noExec", mount.noExec, false, true)) options.push("noexec");
  if (mount.size !== undefined)
    options.push(`size=${parseSize(`mount on "${destination}" with the size`, mount.size)}`);
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

function bind(mount: Extract<MountOption, { type: "bind" }>, destination: string, idMapped: boolean): Mount {
  checkKeys("bind mount", mount, ["type", "source", "target", "readOnly"]);
  const wanted = checkHostPath("mount source", mount.source);
  const source = resolve(wanted);
  if (kindOfPath(source) === undefined) {
    throw new TsboxError(`mount ${show(wanted)} on "${destination}": no such file or directory`, {
      code: "mount_failed",
      path: wanted,
      hint: "the source has to exist on the host",
    });
  }
  const options = ["rbind", "nosuid", "nodev"];
  if (mount.readOnly) options.push("ro");
  // files look owned as they do outside
  if (idMapped) options.push("idmap");
  return { destination, type: "bind", source, options };
}
