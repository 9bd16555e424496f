/** The OCI runtime: containers that last, in the words of the runtime specification. @module */
export type { Logger } from "./log.ts";
export type * from "./runtime.ts";
