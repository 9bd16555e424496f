/** The network that is there without having been made. @module */
import type { NetworkRecord } from "./record.ts";

export const DEFAULT_NETWORK = "bridge";
/** Its bridge. */
export const DEFAULT_DEVICE = "tsbox0";
/** Those of others, unless they were named. @param id of a network */
export const deviceFor = (id: string): string => `tsb-${id.slice(0, 10)}`;

/** Containers are found by name there: in the default network they are not, as in Docker, and others have no gateway here. */
export const hasNames = ({ name, driver }: Pick<NetworkRecord, "name" | "driver">): boolean =>
  driver === "bridge" && name !== DEFAULT_NETWORK;
