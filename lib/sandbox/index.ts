/** Sandboxes. @module */
export { capabilityName, DEFAULT_CAPABILITIES } from "./request.ts";
export { SandboxProcess } from "./process.ts";
export { Sandbox } from "./sandbox.ts";
export { ShellCommand, ShellError, ShellOutput, type Shell } from "./shell.ts";
export type { ShellValue } from "./shell-line.ts";
export type * from "./options.ts";
