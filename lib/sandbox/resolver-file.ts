/**
 * Which resolver programs inside ask, where they have a policy: an address that is nobody's. The host's own may be at its
 * loopback, which is another one inside.
 * @module
 * @see resolv.conf(5)
 */
import { absolute, kindOfPath, readLink } from "../../syscalls/index.ts";
import type { MountedFile } from "../plan/index.ts";
import { RESOLVER_ADDRESS } from "../policy/index.ts";
import type { Mount } from "../spec/index.ts";
import type { Request } from "./stacked-root.ts";

export const RESOLVER_FILE = "/etc/resolv.conf";
const CONTENT: MountedFile = { content: new TextEncoder().encode(`nameserver ${RESOLVER_ADDRESS}\n`) };
const MAX_LINKS = 8;

/** A mount of it, and what is in it; nothing where the caller has mounted another. */
export function resolverFile(
  request: Request,
  requested: readonly Mount[],
): { mounts: Mount[]; files?: Record<string, MountedFile> } {
  if (requested.some(({ destination }) => destination === RESOLVER_FILE)) return { mounts: [] };
  const destination = placeOf(request);
  const mount: Mount = { destination, type: "tmpfs", source: "tmpfs", options: ["ro"] };
  return { mounts: [mount], files: { [destination]: CONTENT } };
}

/**
 * Where a symlink in its place leads, which systemd's does to what is not there before it runs: the mount point has to be
 * made. All of it is inside, wherever the links of a hostile root filesystem lead.
 */
function placeOf({ rootfs = "host", stack }: Request): string {
  const roots = stack?.paths ?? (rootfs === "host" ? [] : [rootfs]);
  let place = RESOLVER_FILE;
  for (let links = 0; links < MAX_LINKS; links++) {
    const root = roots.find((each) => kindOfPath(each + place) !== undefined || readLink(each + place) !== undefined);
    const target = root === undefined ? undefined : readLink(root + place);
    if (target === undefined) break;
    place = absolute(target, place.slice(0, place.lastIndexOf("/")) || "/");
  }
  return place;
}
