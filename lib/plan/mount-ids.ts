/**
 * Id-mapped mounts: files look owned as the map of a user namespace says, that of the sandbox or one that is made for
 * the mount.
 * @module
 * @see mount_setattr(2), "ID-mapped mounts"; https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md#posix-platform-mounts
 */
import { buffer, cstring, offsetOf, ref, structure, TsboxError } from "../../syscalls/index.ts";
import type { Op, Plan, Step } from "../../syscalls/index.ts";
import type { Mount, Spec } from "../spec/index.ts";
import { byte, childArguments, CLONE_ARGS_BYTES, pipeOps } from "./clone.ts";
import type { Beside, Facts } from "./compile.ts";
import { flags } from "./constants.ts";
import { mountSlot } from "./filesystem.ts";
import { mapLines, openProcess, writeFile } from "./id-maps.ts";
import { isJoined, namespaceSlot } from "./intermediate.ts";
import { imageSlot } from "./image-mounts.ts";
import { isBind } from "./mount-options.ts";
import { mapIds } from "./mounts.ts";
import { rootSlots } from "./root.ts";

const isMapped = ({ options, uidMappings, gidMappings }: Mount): boolean =>
  [uidMappings, gidMappings].some((map) => map !== undefined) ||
  (options?.some((option) => option === "idmap" || option === "ridmap") ?? false);

/** @throws TsboxError `invalid_option`, `permission_denied` */
export function checkMountIds(spec: Spec, { privileged }: Facts): void {
  for (const mount of spec.mounts.filter(isMapped)) {
    const refused = (why: string, code: "invalid_option" | "permission_denied" = "invalid_option") =>
      new TsboxError(`map the ids of the mount on "${mount.destination}": ${why}`, { code });
    const own = mount.uidMappings && mount.gidMappings;
    if (!isBind(mount) || mount.options?.includes("remount")) throw refused("only a new bind mount can have others");
    if (!own && (mount.uidMappings || mount.gidMappings)) throw refused("a map of users needs one of groups");
    if (!own && !spec.linux.namespaces.some(({ type }) => type === "user"))
      throw refused("there is no user namespace whose ids they could be");
    if (!privileged) throw refused("only root may", "permission_denied");
  }
}

const hint = (errno: string | undefined) =>
  errno === "EINVAL"
    ? "the file system of the root or of a bind mount, or one below it such as /proc, has no id-mapped mounts (since Linux 5.12); `recursive: false` leaves out what is below; or share the host's user namespace"
    : undefined;

function mapped(ids: string, trees: { tree: string; recursive: boolean }[]): Op[] {
  const attr = structure("{attr_set=MOUNT_ATTR_IDMAP, userns_fd=ids}", "mount_attr", {
    attr_set: flags("MOUNT_ATTR_IDMAP").value,
  });
  return [
    { call: "store", args: [{ at: attr, offset: offsetOf("mount_attr", "userns_fd") }, ref(ids), 8] },
    ...trees.map(({ tree, recursive }) => mapIds(tree, attr, recursive)),
  ];
}

/** By the sandbox's own map, so that files look owned as they do outside: once that is written. */
export function mountIdSteps(spec: Spec, { root, images = {} }: Beside, { privileged }: Facts): Plan {
  const trees = spec.mounts.flatMap((mount, index) =>
    isMapped(mount) && !mount.uidMappings ? [{ tree: mountSlot(index), recursive: isRecursive(mount) }] : [],
  );
  trees.push(...Object.keys(images).map((destination) => ({ tree: imageSlot(destination), recursive: false })));
  // the files of a bundle belong to the ids on the host already
  if (root.kind !== "bundle") trees.push(...rootSlots(root).map((tree) => ({ tree, recursive: true })));
  if (!privileged || trees.length === 0) return [];
  const joined = isJoined(spec, "user");
  const ids = joined ? namespaceSlot("user") : "ids";
  const open: Op = { call: "openat", args: [ref("process"), cstring("ns/user"), flags("O_CLOEXEC"), 0], out: ids };
  const ops = [...(joined ? [] : [open]), ...mapped(ids, trees)];
  return [{ action: "map the ids of files in mounts", ops, code: "mount_failed", hint }];
}

const isRecursive = ({ options }: Mount): boolean => options?.includes("ridmap") ?? false;

/** By a map of the mount's own, once its tree is open. */
export const ownMapSteps = (spec: Spec): Plan =>
  spec.mounts.flatMap((mount, index) => (mount.uidMappings ? [ownMapStep(mount, index)] : []));

/** What {@link ownMapSteps} close at once; and a process that ends with them. */
export const OWN_MAP = { descriptors: ["map-read", "map-write", "map-process", "map-ids"], process: "mapped" };

/** A user namespace is made by a process, which lives until the owner has written its maps, and is never entered. */
function ownMapStep(mount: Mount, index: number): Step {
  const { uidMappings = [], gidMappings = [] } = mount;
  const clone = flags("CLONE_VM", "CLONE_CLEAR_SIGHAND", "CLONE_NEWUSER");
  const args = childArguments(clone, "the map's");
  const [begin, made] = [`map of ${index}`, `map of ${index} is made`];
  const ends = buffer("[read, write]", 8);
  const closed = (slot: string): Op[] => [
    { call: "close", args: [ref(slot)] },
    { call: "load", args: [buffer("none", 8), 4], out: slot },
  ];
  const [reads, writes, process, ids] = OWN_MAP.descriptors as [string, string, string, string];
  return {
    action: `map the ids of files in the mount on "${mount.destination}"`,
    ops: [
      ...pipeOps("map", ends),
      { call: "spawn", args: [args, CLONE_ARGS_BYTES], label: begin, out: OWN_MAP.process },
      { call: "jump", args: [], label: made },
      { call: "label", args: [], label: begin },
      // not by the owner's name for it, which the owner may be done with by now
      { call: "load", args: [{ at: ends, offset: 4 }, 4], out: "their-write" },
      { call: "close", args: [ref("their-write")] },
      { call: "read", args: [ref(reads), byte(), 1] },
      { call: "exit_group", args: [0] },
      { call: "label", args: [], label: made },
      ...openProcess(OWN_MAP.process, process),
      ...writeFile(process, "uid_map", mapLines(uidMappings)),
      ...writeFile(process, "gid_map", mapLines(gidMappings)),
      { call: "openat", args: [ref(process), cstring("ns/user"), flags("O_CLOEXEC"), 0], out: ids },
      ...closed(writes),
      { call: "wait4", args: [ref(OWN_MAP.process), 0, 0, 0] },
      { call: "load", args: [buffer("none", 8), 4], out: OWN_MAP.process },
      ...mapped(ids, [{ tree: mountSlot(index), recursive: isRecursive(mount) }]),
      ...[reads, process, ids].flatMap(closed),
    ],
    code: "mount_failed",
    path: mount.destination,
    hint,
  };
}
