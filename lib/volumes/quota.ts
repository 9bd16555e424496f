/** How large a volume may become: by a project quota of the file system that it is on. @module */
import { Directory, errnoName, limitProject, setProject, TsboxError, tryProjects } from "../../syscalls/index.ts";
import { sizeBytes } from "./driver-options.ts";
import { DATA, placeOf } from "./place.ts";
import type { VolumeRecord } from "./record.ts";

/** Behind those that people and other tools choose. */
export const FIRST_PROJECT = 0x54530000;

const unsupported = (name: string, root: string, errno: number) =>
  new TsboxError(`create ${name}: quota size requested but no quota support`, {
    code: "unsupported",
    errno,
    syscall: "quotactl_fd",
    hint: `${errnoName(errno)}: "size" needs root, and "${root}" on XFS or ext4 mounted with "prjquota"; or a tmpfs: -o type=tmpfs -o device=tmpfs -o o=size=64m`,
  });

/** @throws TsboxError `unsupported` */
export function checkQuota(root: string, name: string): void {
  using directory = Directory.open(root);
  const result = directory ? tryProjects(directory.fd) : 0;
  if (result < 0) throw unsupported(name, root, -result);
}

/** The caller may do so again: it changes nothing then. @throws TsboxError `unsupported` */
export function limitSize(place: Directory, root: string, { name, options, project }: VolumeRecord): void {
  const bytes = sizeBytes(options["size"] ?? "");
  if (bytes === undefined || project === undefined) return;
  using data = place.directory(DATA) as Directory;
  for (const result of [
    limitProject(place.fd, project, bytes),
    // what is filled beside it inherits it as well
    setProject(place.fd, project),
    setProject(data.fd, project),
  ])
    if (result < 0) throw unsupported(name, root, -result);
}

/** Nothing of it is left with the file system. */
export function forgetSize(root: string, { name, project }: VolumeRecord): void {
  using place = project === undefined ? undefined : Directory.open(placeOf(root, name));
  if (place && project !== undefined) limitProject(place.fd, project, 0);
}
