/** Sandboxes. @module */
export { Sandbox } from "./sandbox.ts";
export type * from "./options.ts";
