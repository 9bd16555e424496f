/**
 * With whose ids a layer is unpacked: the caller's own, or those of a user namespace, whose root then is who writes.
 * @module
 * @see user_namespaces(7)
 */
import { changeOwner, TsboxError, trySyscall, writeKernelFile, type Walker } from "../../syscalls/index.ts";
import { findIdMapper } from "../launch/index.ts";
import type { IdMapping } from "../spec/index.ts";
import type { IdMaps } from "./attributes.ts";

const CLONE_NEWUSER = 0x10000000;
const [PR_GET_DUMPABLE, PR_SET_DUMPABLE] = [3, 4];
const INVALID_ID = 0xffffffff;

export interface Rights {
  /** Flags of clone(2). */
  namespaces: number;
  /** Whether files can be given to others; where there is one id, all are its own. */
  owners: boolean;
  /** Makes a new process the one that writes, before it does anything else. */
  assume(walker: Walker<never>): void;
  /** A directory that the caller made becomes that of who writes. */
  hand(directory: string): void;
}

/** @throws TsboxError `permission_denied`, `unsupported` */
export function rightsFor(ids: IdMaps | undefined): Rights {
  const isRoot = trySyscall("geteuid") === 0;
  if (!ids) {
    const assume = (walker: Walker<never>) => void (isRoot && becomeRoot(walker));
    return { namespaces: 0, owners: isRoot, assume, hand: () => {} };
  }
  return {
    namespaces: CLONE_NEWUSER,
    owners: [ids.uidMappings, ids.gidMappings].every(hasSeveral),
    assume(walker) {
      writeMaps(walker.pid, ids, isRoot);
      becomeRoot(walker);
    },
    hand(directory) {
      if (!isRoot) return;
      changeOwner(directory, hostId(ids.uidMappings), hostId(ids.gidMappings));
    },
  };
}

const hasSeveral = (maps: IdMapping[]): boolean => maps.reduce((sum, { size }) => sum + size, 0) > 1;

const hostId = (maps: IdMapping[]): number =>
  maps.find(({ containerID, size }) => containerID === 0 && size > 0)?.hostID ?? INVALID_ID;

/** What is made belongs to 0:0, whatever the caller's group is. */
function becomeRoot(walker: Walker<never>): void {
  const dumpable = trySyscall("prctl", PR_GET_DUMPABLE);
  for (const call of ["setresgid", "setresuid"] as const) {
    const result = walker.single(call, 0, 0, 0);
    if (result < 0)
      throw new TsboxError(`unpack as another user: ${call}: errno ${-result}`, {
        code: "permission_denied",
        errno: -result,
        hint: "the id maps must have a 0",
      });
  }
  // the memory is the caller's as well, and so is what this has changed
  if (dumpable === 1) walker.single("prctl", PR_SET_DUMPABLE, 1);
}

function writeMaps(pid: number, ids: IdMaps, isRoot: boolean): void {
  const [uid, gid] = [trySyscall("geteuid"), trySyscall("getegid")];
  const { uidMappings, gidMappings } = ids;
  const isOwn = (maps: IdMapping[], id: number) => maps.length === 1 && maps[0]?.size === 1 && maps[0].hostID === id;
  if (isRoot || (isOwn(uidMappings, uid) && isOwn(gidMappings, gid))) {
    if (!isRoot) writeMap(pid, "setgroups", "deny");
    writeMap(pid, "uid_map", lines(uidMappings));
    writeMap(pid, "gid_map", lines(gidMappings));
    return;
  }
  const { newuidmap, newgidmap } = findIdMapper();
  map(newuidmap, pid, uidMappings);
  map(newgidmap, pid, gidMappings);
}

const lines = (maps: IdMapping[]): string =>
  maps.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");

function writeMap(pid: number, file: string, text: string): void {
  const result = writeKernelFile(`/proc/${pid}/${file}`, text);
  if (result < 0)
    throw new TsboxError(`write "/proc/${pid}/${file}"`, {
      code: "permission_denied",
      errno: -result,
      syscall: "write",
    });
}

function map(program: string, pid: number, maps: IdMapping[]): void {
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  const words = maps.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
  const { status, stderr } = spawnSync(program, [String(pid), ...words], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status === 0) return;
  throw new TsboxError(`map subordinate ids: ${program}: ${stderr?.trim() ?? "it could not be started"}`, {
    code: "permission_denied",
    hint: "/etc/subuid and /etc/subgid say which ids a user has",
  });
}
