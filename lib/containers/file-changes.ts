/**
 * What happens to files before they are mounted: `U` makes them those of the container's user, `z` and `Z` give them the
 * label of SELinux that containers may use, where that is on.
 * @module
 * @see https://docs.podman.io/en/latest/markdown/podman-run.1.html, "Chowning Volume Mounts", "Labeling Volume Mounts"
 */
import { close, effectiveUid, O_PATH, open, realPath, setAttributeOfTree, TsboxError } from "../../syscalls/index.ts";
import { findUser } from "../accounts/index.ts";
import { imageIds, securityModules } from "../launch/index.ts";
import { changeOwners } from "../layer/index.ts";
import type { BindMount } from "../sandbox/index.ts";
import type { ImageFiles } from "./mounts.ts";
import type { ContainerOptions } from "./options.ts";

/** Of the host: whoever mounts one of these means something in it. */
const OF_THE_SYSTEM = new Set(
  "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var /var/lib /var/log".split(
    " ",
  ),
);
/** What container-selinux lets containers read and write. */
const LABEL = "system_u:object_r:container_file_t:s0";

function checkDirectory(what: string, { source }: BindMount): void {
  if (!OF_THE_SYSTEM.has(realPath(source) ?? source)) return;
  throw new TsboxError(`${what} "${source}": it is of the system`, { code: "invalid_option", path: source });
}

/** @throws TsboxError `invalid_option`, `user_not_found`, `system` */
export function giveToUser(mount: BindMount, options: ContainerOptions, { config, layers }: ImageFiles): void {
  checkDirectory("change the owner of", mount);
  if (mount.uidMappings ?? mount.gidMappings)
    throw new TsboxError(`change the owner of "${mount.source}": the mount has id mappings of its own`, {
      code: "invalid_option",
      hint: "leave U or idmap out",
    });
  const ids = imageIds();
  // there is one id, and all is its own
  if (!ids && effectiveUid() !== 0) return;
  const [user = "", group] = (options.user ?? config?.User ?? "").split(":");
  const written = group ? `${user || "0"}:${group}` : user || "0";
  const accounts = layers.length > 0 ? { layers } : { directory: "/" };
  const { uid, gid } = findUser(written, accounts);
  changeOwners(mount.source, uid, gid, ids);
}

/** Where SELinux is off there are no labels, and nothing happens, as in Docker. */
export function relabel(mount: BindMount): void {
  if (!securityModules().selinux) return;
  checkDirectory("change the labels of", mount);
  const top = open(mount.source, O_PATH);
  try {
    setAttributeOfTree(top, "security.selinux", LABEL);
  } finally {
    close(top);
  }
}
