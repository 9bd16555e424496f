/** Networks of containers: bridges, addresses, ports. @module */
export {
  bareAddresses,
  DEFAULT_NETWORK,
  Networks,
  type IsThere,
  type Joining,
  type NetworkOptions,
} from "./networks.ts";
export { parseExposed, parsePorts, type WantedPort } from "./ports.ts";
export { reservePorts, type Reservation } from "./publish.ts";
export type { HeldBox } from "./boxes.ts";
export { namespaceOf, type Keeper } from "./place.ts";
export type { NetworkFilters } from "./filter.ts";
export type * from "./record.ts";
