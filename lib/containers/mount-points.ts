/** What is mounted in a container, as `Mounts` of Docker's API. Pure. @module */
import { dataOf } from "../volumes/index.ts";
import type { Home } from "./home.ts";
import type { ContainerMount } from "./options.ts";
import type { ContainerRecord } from "./record.ts";

export interface MountPoint {
  Type: "bind" | "volume" | "tmpfs" | "image";
  /** Of a volume. */
  Name?: string;
  Source: string;
  Destination: string;
  Driver?: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

/** In the order in which they are mounted. */
export function mountPointsOf({ root }: Pick<Home, "root">, { mounts = [] }: ContainerRecord): MountPoint[] {
  return mounts.flatMap((mount) => pointOf(root, mount) ?? []);
}

function pointOf(root: string, mount: ContainerMount): MountPoint | undefined {
  const { type, target } = mount;
  const isReadOnly = "readOnly" in mount && mount.readOnly === true;
  const usual = { Destination: target, Mode: isReadOnly ? "ro" : "", RW: !isReadOnly, Propagation: "" };
  switch (type) {
    case "volume": {
      const { source: name = "" } = mount;
      const source = `${dataOf(root, name)}${mount.subpath === undefined ? "" : `/${mount.subpath}`}`;
      return { Type: "volume", Name: name, Source: source, Driver: "local", ...usual };
    }
    case "bind":
      return { Type: "bind", Source: mount.source, ...usual, Propagation: mount.propagation ?? "rprivate" };
    case "tmpfs":
      return { Type: "tmpfs", Source: "", ...usual };
    case "image":
      return { Type: "image", Source: mount.source, ...usual, Mode: "ro", RW: false };
    default:
      return undefined;
  }
}
