/** Whether there is something to do. @module */
import { effectiveUid } from "../../syscalls/index.ts";
import { hasNames, type NetworkRecord } from "../network/index.ts";

/**
 * Containers that find each other by name run; an ordinary user's in any network: without it there is none.
 * @param isUsers the networks are those of an ordinary user
 */
export const isNeeded = (networks: readonly NetworkRecord[], isUsers = effectiveUid() !== 0): boolean =>
  networks.some(
    (network) =>
      (hasNames(network) || (isUsers && network.driver === "bridge")) && Object.keys(network.endpoints).length > 0,
  );
