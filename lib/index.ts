/** tsbox: containers and sandboxes for Bun and Deno. @module */
export { TsboxError, type ErrorCode } from "../syscalls/index.ts";
export {
  BoxFile,
  BoxFiles,
  FileStat,
  Sandbox,
  SandboxProcess,
  ShellCommand,
  ShellError,
  ShellOutput,
  Volume,
} from "./sandbox/index.ts";
export type * from "./sandbox/index.ts";
export type { Connection, ConnectHandler, DeniedEntry, HostHandler, NetworkPolicy } from "./policy/index.ts";
export { Tsbox, type BuildOptions, type TsboxOptions } from "./engine/index.ts";
export type { BuildEvent, BuildOutput, BuildResult, ContextSource, PlannedStep, RemoteCache } from "./build/index.ts";
export { image, ImageBuilder } from "./image-builder/index.ts";
export type * from "./images/index.ts";
export { Terminal, type TerminalOptions } from "./terminal/index.ts";
