/**
 * `--volume`, `--mount`, `--tmpfs` and `--device`, in Docker's syntax.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/#mount
 */
import type { DeviceOption, MountOption } from "../index.ts";
import { parseMount, parseTmpfs, parseVolume, type ContainerMount } from "../volumes/index.ts";
import { TsboxError } from "../sandbox/index.ts";
import { invalid } from "./invalid.ts";

/** @param cwd what relative sources begin at */
export const volume = (text: string, cwd: string | undefined): ContainerMount =>
  parseVolume(text, cwd, (why, hint) => invalid("--volume", text, why, hint));

/** @param cwd what relative sources begin at */
export const mount = (text: string, cwd: string | undefined): ContainerMount =>
  parseMount(text, cwd, (why, hint) => invalid("--mount", text, why, hint));

export const tmpfs = (text: string): MountOption & ContainerMount =>
  parseTmpfs(text, (why, hint) => invalid("--tmpfs", text, why, hint));

/** Whether a mount is one of those that only containers have: what is in a volume or in an image, or changed for it. */
const isOfContainers = (mount: ContainerMount): boolean =>
  mount.type === "volume" ||
  mount.type === "image" ||
  (mount.type === "bind" && (mount.chown || mount.relabel) !== undefined);

/** Those of a sandbox. @throws TsboxError `invalid_option` */
export const ofSandboxes = (mounts: ContainerMount[]): MountOption[] =>
  mounts.map((mount, index) => {
    if (mounts.findIndex(({ target }) => target === mount.target) !== index)
      throw new TsboxError(`Duplicate mount point: ${mount.target}`, { code: "invalid_option" });
    if (mount.type !== "volume" && mount.type !== "image" && !isOfContainers(mount)) return mount;
    const what =
      mount.type === "bind"
        ? `mount on "${mount.target}" with other owners or labels`
        : `mount the ${mount.type} on "${mount.target}"`;
    throw new TsboxError(`${what}: only a container can`, {
      code: "invalid_option",
      hint: "leave --rootfs out, or mount a directory: ./data",
    });
  });

/** `/dev/a`, `/dev/a:/dev/b`, `/dev/a:/dev/b:rwm`. */
export function device(text: string): DeviceOption {
  const [source = "", ...rest] = text.split(":");
  const access = rest.length > 0 && /^[rwm]+$/.test(rest.at(-1) as string) ? rest.pop() : undefined;
  const [target, ...more] = rest;
  if (!source.startsWith("/") || target === "" || more.length > 0)
    throw invalid("--device", text, "not understood", '"/dev/fuse" or "/dev/fuse:/dev/other"');
  const made: DeviceOption = target === undefined ? { source } : { source, target };
  // all of it needs no control group
  if (access !== undefined && !(access.includes("r") && access.includes("w"))) made.access = access;
  return made;
}
