/** Ways out of network namespaces, and into them, without rights. @module */
export {
  attachGateway,
  beginGateway,
  familiesOfHost,
  openPort,
  settingsOf,
  type Denied,
  type Gateway,
  type GatewayOptions,
  type Port,
  type Traffic,
  type WayLimits,
} from "./gateway.ts";
export { interceptBridges, type Bridged } from "./bridges.ts";
export { interceptAt, listSockets, socketsIn, type Place } from "./intercept.ts";
export { GatewayThread } from "./thread.ts";
export type { FromGateway, Target, ToGateway, WaySettings, WaySockets } from "./messages.ts";
