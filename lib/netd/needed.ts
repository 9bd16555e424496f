/** Whether there is something to do. @module */
import { hasNames, type NetworkRecord } from "../network/index.ts";

/** Containers that find each other by name run. */
export const isNeeded = (networks: readonly NetworkRecord[]): boolean =>
  networks.some((network) => hasNames(network) && Object.keys(network.endpoints).length > 0);
