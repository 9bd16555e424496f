/** The control groups of a container, by what was written down of them. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { ContainerCgroup, type CgroupRecord } from "../cgroup/index.ts";

/**
 * Undefined where it has none; and where the machine has started since with other hierarchies, as groups do not last
 * longer than that.
 */
export function ownCgroup(
  record: CgroupRecord | undefined,
  warn?: (text: string) => void,
): ContainerCgroup | undefined {
  if (!record || Object.keys(record.paths).length === 0) return undefined;
  try {
    return new ContainerCgroup(record, warn);
  } catch (error) {
    if (!(error instanceof TsboxError) || error.code !== "container_unreadable") throw error;
    return undefined;
  }
}

/** @throws TsboxError `limit_unavailable` */
export function requireCgroup(
  { id, cgroup }: { id: string; cgroup?: CgroupRecord },
  action: string,
  warn?: (text: string) => void,
): ContainerCgroup {
  const found = ownCgroup(cgroup, warn);
  if (found) return found;
  throw new TsboxError(`cannot ${action} container ${id}: it has no control group of its own`, {
    code: "limit_unavailable",
    hint: "cgroups of version 2 can be delegated: systemd-run --user -p Delegate=yes",
  });
}
