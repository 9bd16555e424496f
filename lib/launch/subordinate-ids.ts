/**
 * Ids that an ordinary user may give to others: its own as root inside, and its subordinate ones for all else.
 * @module
 * @see subuid(5), subgid(5)
 */
import * as sys from "../../syscalls/index.ts";
import { TsboxError } from "../../syscalls/index.ts";
import type { IdMapper } from "../plan/index.ts";
import type { IdMapping } from "../spec/index.ts";

/** @throws TsboxError `permission_denied` where the user has none */
export function subordinateMaps(uid: number, gid: number): { uidMappings: IdMapping[]; gidMappings: IdMapping[] } {
  const login = loginOf(uid);
  return {
    uidMappings: [{ containerID: 0, hostID: uid, size: 1 }, ...rangesIn("/etc/subuid", uid, login)],
    gidMappings: [{ containerID: 0, hostID: gid, size: 1 }, ...rangesIn("/etc/subgid", uid, login)],
  };
}

/**
 * The ids that an ordinary user's images are unpacked with, and their sandboxes have; undefined where there are none but
 * its own, or no programs that map them, and for root.
 */
export function imageIds(): { uidMappings: IdMapping[]; gidMappings: IdMapping[] } | undefined {
  const uid = sys.effectiveUid();
  if (uid === 0) return undefined;
  try {
    findIdMapper();
    return subordinateMaps(uid, sys.effectiveGid());
  } catch (error) {
    if (error instanceof TsboxError) return undefined;
    throw error;
  }
}

function rangesIn(file: string, uid: number, login: string | undefined): IdMapping[] {
  let containerID = 1;
  const ranges = linesOf(file).flatMap(([owner, first, count]): IdMapping[] => {
    if (owner !== String(uid) && (login === undefined || owner !== login)) return [];
    const [hostID, size] = [Number(first), Number(count)];
    if (!Number.isSafeInteger(hostID) || !Number.isSafeInteger(size) || size < 1) return [];
    containerID += size;
    return [{ containerID: containerID - size, hostID, size }];
  });
  if (ranges.length > 0) return ranges;
  throw new TsboxError(`use subordinate ids: ${file} has none for the user ${login ?? uid}`, {
    code: "permission_denied",
    path: file,
    hint: `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${login ?? uid}`,
  });
}

const loginOf = (uid: number): string | undefined => linesOf("/etc/passwd").find(([, , id]) => id === String(uid))?.[0];

const linesOf = (file: string): string[][] =>
  (sys.readKernelFile(file) ?? "").split("\n").map((line) => line.trim().split(":"));

const DIRECTORIES = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];
const X_OK = 1;

/** The programs that write such maps. @throws TsboxError `unsupported` */
export function findIdMapper(): IdMapper {
  const find = (name: string): string => {
    const path = DIRECTORIES.map((directory) => `${directory}/${name}`).find((file) => sys.access(file, X_OK));
    if (path !== undefined) return path;
    throw new TsboxError(`use subordinate ids: there is no ${name}`, {
      code: "unsupported",
      hint: 'install it, on Debian as "uidmap"; without, a sandbox has one id: that of its user',
    });
  };
  return { newuidmap: find("newuidmap"), newgidmap: find("newgidmap") };
}
