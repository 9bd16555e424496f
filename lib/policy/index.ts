/** Network policies: what a sandbox may connect to. @module */
export { Asking, MAX_ASKED, MAX_ASKED_A_SECOND, type Question } from "./ask.ts";
export { compilePolicy, HostAddresses, type Rules } from "./compile.ts";
export { decide, decideAnswer, decideName, HTTP_PORT } from "./decide.ts";
export type { Decision, Flow, NameDecision, Verdict } from "./decide.ts";
export { DeniedList, type DeniedEntry, type Denial } from "./denied.ts";
export { findName } from "./name.ts";
export type { Connection, ConnectHandler, HostHandler, NetworkPolicy } from "./options.ts";
export { addressesIn, RESOLVER_ADDRESS, type IsOwn } from "./reserved.ts";
export { plainAddress } from "./rule.ts";
