/** Sandboxes. @module */
export { capabilityName, DEFAULT_CAPABILITIES } from "./request.ts";
export { SandboxProcess } from "./process.ts";
export { Sandbox } from "./sandbox.ts";
export type * from "./options.ts";
