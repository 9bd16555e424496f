/** What is mounted in a container, as `Mounts` of Docker's API. Pure. @module */
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

/** Volumes first, as they were resolved; then what is bound. */
export function mountPointsOf({ root }: Pick<Home, "root">, { volumes, options }: ContainerRecord): MountPoint[] {
  const named = volumes.map(({ name, target, readOnly }): MountPoint => ({
    Type: "volume",
    Name: name,
    Source: `${root}/volumes/${name}/_data`,
    Destination: target,
    Driver: "local",
    Mode: readOnly ? "ro" : "",
    RW: !readOnly,
    Propagation: "",
  }));
  const mounted = (options.mounts ?? []).flatMap((mount) => pointOf(mount) ?? []);
  const short = (options.volumes ?? []).flatMap((text) => boundPoint(text) ?? []);
  const taken = new Set(named.map(({ Destination }) => Destination));
  return [...named, ...[...mounted, ...short].filter(({ Destination }) => !taken.has(Destination))];
}

function pointOf(mount: ContainerMount): MountPoint | undefined {
  const { type, target } = mount;
  switch (type) {
    case "bind":
      return {
        Type: "bind",
        Source: mount.source,
        Destination: target,
        Mode: "",
        RW: mount.readOnly !== true,
        Propagation: mount.propagation ?? "rprivate",
      };
    case "tmpfs":
      return { Type: "tmpfs", Source: "", Destination: target, Mode: "", RW: mount.readOnly !== true, Propagation: "" };
    case "image":
      return { Type: "image", Source: mount.source, Destination: target, Mode: "ro", RW: false, Propagation: "" };
    default:
      return undefined;
  }
}

/** `/source:/target:ro,rshared` */
function boundPoint(text: string): MountPoint | undefined {
  const [source = "", target, mode = ""] = text.split(":");
  if (!source.startsWith("/") || target === undefined) return undefined;
  const words = mode.split(",");
  return {
    Type: "bind",
    Source: source,
    Destination: target,
    Mode: mode,
    RW: !words.some((word) => word === "ro" || word === "rro"),
    Propagation: words.find((word) => /^r?(?:private|slave|shared)$/.test(word)) ?? "rprivate",
  };
}
