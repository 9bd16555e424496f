/**
 * The users of a container of somebody who is not root, and has not said who they are: without a user namespace nothing
 * could be made. As crun has it.
 * @module
 * @see user_namespaces(7), subuid(5)
 */
import { effectiveGid, effectiveUid, TsboxError } from "../../syscalls/index.ts";
import { findIdMapper, subordinateMaps } from "../launch/index.ts";
import type { ContainerLinux, ContainerSpec, IdMapping } from "../spec/index.ts";

type Maps = Required<Pick<ContainerLinux, "uidMappings" | "gidMappings">>;

/** The caller is the user of the container's process; its subordinate ids, where it has some, are all others. */
export function withUsers({ linux, process }: ContainerSpec): ContainerLinux {
  const { namespaces, uidMappings, gidMappings } = linux;
  const user = namespaces.find(({ type }) => type === "user");
  if (effectiveUid() === 0 || user?.path !== undefined || uidMappings || gidMappings) return linux;
  const { uid = 0, gid = 0 } = process?.user ?? {};
  const maps = defaultMaps();
  return {
    ...linux,
    namespaces: user ? namespaces : [...namespaces, { type: "user" }],
    uidMappings: withFirstAt(uid, maps.uidMappings),
    gidMappings: withFirstAt(gid, maps.gidMappings),
  };
}

function defaultMaps(): Maps {
  const [uid, gid] = [effectiveUid(), effectiveGid()];
  try {
    findIdMapper();
    return subordinateMaps(uid, gid);
  } catch (error) {
    if (!(error instanceof TsboxError)) throw error;
    const alone = (hostID: number) => [{ containerID: 0, hostID, size: 1 }];
    return { uidMappings: alone(uid), gidMappings: alone(gid) };
  }
}

/** The first of the ids moves to `id`, and those that are passed by move down. */
export function withFirstAt(id: number, [first, ...others]: readonly IdMapping[]): IdMapping[] {
  if (!first || id === 0) return [...(first ? [first] : []), ...others];
  const moved = others.flatMap((range): IdMapping[] => {
    const { containerID, hostID, size } = range;
    const down = Math.min(Math.max(id + 1 - containerID, 0), size);
    const parts = [
      { containerID: containerID - 1, hostID, size: down },
      { containerID: containerID + down, hostID: hostID + down, size: size - down },
    ];
    return parts.filter((part) => part.size > 0);
  });
  return [{ ...first, containerID: id }, ...moved];
}
