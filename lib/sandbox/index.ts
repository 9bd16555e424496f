/** Sandboxes. @module */
export { absolute, signalNumber } from "../../syscalls/index.ts";
export { capabilityName, DEFAULT_CAPABILITIES } from "./capabilities.ts";
export { SandboxProcess } from "./process.ts";
export { BoxFile, type FileOptions, type WriteOptions } from "./file.ts";
export type { FileContent } from "./file-content.ts";
export { BoxFiles } from "./files.ts";
export type * from "./files.ts";
export type { Unpacked } from "./unpack.ts";
export { FileStat, type FileType } from "./file-stat.ts";
export type { DirectoryEntry } from "./directory.ts";
export { Sandbox } from "./sandbox.ts";
export { ShellCommand, ShellError, ShellOutput, type Shell } from "./shell.ts";
export type { ShellValue } from "./shell-line.ts";
export { Volume } from "./volume.ts";
export type { NotifiedCall, SyscallAnswer, SyscallHandler } from "./notify.ts";
export type * from "./options.ts";
