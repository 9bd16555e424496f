/**
 * What a bundle says, as it is compiled: paths are absolute, and the process has the environment that runtimes give it.
 * @module
 */
import type { StartableSpec } from "../plan/index.ts";
import { isBind } from "../plan/index.ts";
import { homeOf } from "../accounts/index.ts";
import type { ContainerProcess, ContainerSpec, DeviceNode, Mount } from "../spec/index.ts";
import { settleMountPoints } from "./mount-points.ts";
import type { CreateOptions } from "./runtime.ts";

/** Such a container can be created, and that is all. */
const NO_PROCESS: ContainerProcess = { user: { uid: 0, gid: 0 }, args: [], env: [], cwd: "/" };

export function startable(config: ContainerSpec, options: CreateOptions): StartableSpec {
  const { process = NO_PROCESS, root, mounts, linux } = config;
  const below = (file: string) => (file.startsWith("/") ? file : `${options.bundle}/${file}`);
  const rootfs = below(root.path);
  const absolute = (mount: Mount): Mount => ({
    ...mount,
    destination: inside(mount.destination, rootfs),
    ...(isBind(mount) && mount.source !== undefined && { source: below(mount.source) }),
  });
  const env = environmentOf([...process.env, ...listening(options)], process.user.uid, rootfs);
  return {
    ...config,
    root: { ...root, path: rootfs },
    mounts: settleMountPoints(mounts.map(absolute), rootfs),
    process: { ...process, env },
    linux: { ...linux, ...(linux.devices && { devices: linux.devices.map(named) }) },
  };
}

/** Some write the path on the host. */
const inside = (destination: string, rootfs: string): string =>
  destination.startsWith(`${rootfs}/`) ? destination.slice(rootfs.length) : destination;

const named = (device: DeviceNode): DeviceNode => ({ ...device, path: device.path.replace(/\/+$/, "") });

/** Only the last of each name counts; and everybody has a home. */
export function environmentOf(env: readonly string[], uid: number, rootfs: string): string[] {
  const byName = new Map(env.map((variable) => [variable.split("=", 1)[0], variable]));
  const home = byName.get("HOME");
  if (home === undefined || home === "HOME=") byName.set("HOME", `HOME=${homeOf(uid, { directory: rootfs })}`);
  return [...byName.values()];
}

/** @see sd_listen_fds(3) */
const listening = ({ listenFds }: CreateOptions): string[] =>
  listenFds > 0 ? [`LISTEN_FDS=${listenFds}`, "LISTEN_PID=1"] : [];
