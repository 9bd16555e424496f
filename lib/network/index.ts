/** Networks of containers: bridges, addresses, ports. @module */
export { bareAddresses, Networks, type IsThere, type Joining } from "./networks.ts";
export type { NetworkOptions } from "./new-network.ts";
export { DEFAULT_NETWORK, hasNames } from "./default-network.ts";
export { tryLockNetworks } from "./lock.ts";
export { bytesThrough, interfacesIn, type NetworkInterface } from "./interfaces.ts";
export { reservePorts, type Reservation } from "./publish.ts";
export type { HeldBox } from "./boxes.ts";
export { namespaceOf } from "./namespace.ts";
export type { Keeper } from "./place.ts";
export type { NetworkFilters } from "./filter.ts";
export type * from "./record.ts";
export type { NameSockets, Watcher } from "./watcher.ts";
