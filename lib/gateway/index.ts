/** Ways out of network namespaces, and into them, without rights. @module */
export {
  attachGateway,
  beginGateway,
  openPort,
  type Denied,
  type Gateway,
  type GatewayOptions,
  type Port,
} from "./gateway.ts";
export { OWN_ADDRESS } from "./intercept.ts";
export type { Target } from "./messages.ts";
