/** What containers can mount. @module */
import type { BindMount, MountOption } from "../sandbox/index.ts";
import type { IdMapping } from "../spec/index.ts";

/** What happens to files that are mounted, before a container sees them. */
export interface FileChanges {
  /** All of them become those of the container's user: `U`. */
  chown?: boolean;
  /** Labels of SELinux, where that is on; for several containers (`z`), or for one (`Z`). */
  relabel?: "shared" | "private";
}

export interface VolumeMount extends FileChanges {
  type: "volume";
  /** Its name; without one, a volume of the container's own, which goes with it. */
  source?: string;
  target: string;
  readOnly?: boolean;
  noExec?: boolean;
  /** It is not filled with what the image has there. */
  noCopy?: boolean;
  /** A directory in it that is mounted rather than all of it. */
  subpath?: string;
  /** As those of {@link BindMount}. */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  /** Of one that is made. */
  driver?: string;
  driverOptions?: Record<string, string>;
  labels?: Record<string, string>;
}

/** The files of an image, read-only. */
export interface ImageMount {
  type: "image";
  source: string;
  target: string;
  /** A directory in it that is mounted rather than all of it. */
  subpath?: string;
}

/** What is kept in a volume, or comes from an image, besides what sandboxes can mount. */
export type ContainerMount =
  | Exclude<MountOption, { type: "volume" } | { type: "bind" } | { type: "image" } | { type: "file" }>
  | (BindMount & FileChanges)
  | VolumeMount
  | ImageMount;
