/** Networks as the kernel has them: devices, packet filters. @module */
export {
  checkDevice,
  IPVLAN_FLAGS,
  IPVLAN_MODES,
  Links,
  type Ipvlan,
  type Link,
  type LinkAddress,
  type LinkChange,
  type Route,
} from "./links.ts";
export {
  inNetwork,
  setting,
  settingNow,
  type ReachedNetwork,
  socketHere,
  isReached,
  withoutFilter,
} from "./namespace.ts";
export { forgetConnections, type Connection } from "./conntrack.ts";
export * from "./nftables.ts";
export { isInRules, otherChains, type OtherChain } from "./other-tables.ts";
export * from "./queues.ts";
export { OwnAddresses } from "./own-addresses.ts";
