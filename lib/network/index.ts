/** Networks of containers: bridges, addresses, ports. @module */
export type { Joining } from "./recorded.ts";
export { Networks, type IsThere } from "./networks.ts";
export type { NetworkOptions } from "./new-network.ts";
export { bareAddresses, LOOPBACK_HOSTS, neighbourHosts, resolvConf } from "./etc-texts.ts";
export { tellsConnections } from "./connections.ts";
export { obstacleOf, type Obstacle } from "./obstacles.ts";
export { DEFAULT_DEVICE, DEFAULT_NETWORK, hasNames } from "./default-network.ts";
export { lockNetworks, tryLockNetworks } from "./lock.ts";
export { bytesThrough, interfacesIn, type NetworkInterface } from "./interfaces.ts";
export { reservePorts, type Reservation } from "./publish.ts";
export { namespaceAt, namespaceOf, type OpenNamespace } from "./namespace.ts";
export type { Keeper } from "./place.ts";
export type { NetworkFilters } from "./filter.ts";
export type * from "./record.ts";
export type { NameSockets, Watcher } from "./watcher.ts";
