/** The control groups of a container. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { ContainerCgroup, type CgroupRecord } from "../cgroup/index.ts";
import type { Facts, StartableSpec } from "../plan/index.ts";
import type { IdMapping } from "../spec/index.ts";
import type { Container } from "./container.ts";
import type { Logger } from "./log.ts";
import type { Runtime } from "./runtime.ts";

/** Of a new container: named, and not made yet. @throws TsboxError `invalid_option` */
export async function planCgroup(
  { systemdCgroup: systemd, noCgroup = false, rootless, log }: Runtime,
  id: string,
  { annotations, linux: { cgroupsPath } }: StartableSpec,
): Promise<ContainerCgroup> {
  const record = noCgroup ? NONE : await ContainerCgroup.plan({ id, cgroupsPath, systemd, rootless, annotations });
  return new ContainerCgroup(record, (message) => log.warn(message));
}

/** Limits that are asked for are refused, other than rules for devices, which every engine sends along. */
const NONE: CgroupRecord = { paths: {}, asked: false, made: false, rootless: true };

/** As it was recorded. @throws TsboxError `container_unreadable` */
export const openCgroup = (record: CgroupRecord, log: Logger): ContainerCgroup =>
  new ContainerCgroup(record, (message) => log.warn(message));

/** @throws TsboxError `limit_unavailable` */
export function requireCgroup({ cgroup }: Container, action: string): ContainerCgroup {
  if (cgroup) return cgroup;
  throw new TsboxError(`${action}: it has no cgroup of its own`, {
    code: "limit_unavailable",
    hint: "cgroups of version 2 can be delegated: systemd-run --user -p Delegate=yes",
  });
}

/** What a container without a cgroup namespace is shown of cgroups: its own. */
export function withGroups(facts: Facts, { record: { paths } }: ContainerCgroup): Facts {
  const { hierarchies } = facts;
  return hierarchies ? { ...facts, hierarchies: { ...hierarchies, groups: paths } } : facts;
}

/** Root of a user namespace may make groups below its own where it can see and write to it. */
export function delegateCgroup(cgroup: ContainerCgroup, { mounts, linux }: StartableSpec): void {
  const owns = (type: string) => linux.namespaces.some((each) => each.type === type && each.path === undefined);
  const writable = mounts.some(({ type = "", options }) => type.startsWith("cgroup") && !options?.includes("ro"));
  const root = (mappings: IdMapping[] = []) => mappings.find(({ containerID }) => containerID === 0)?.hostID;
  const uid = root(linux.uidMappings);
  if (uid !== undefined && writable && owns("cgroup") && owns("user")) cgroup.delegate(uid, root(linux.gidMappings));
}
