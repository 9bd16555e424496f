/** Sandboxes. @module */
export { absolute, access, signalNumber, TsboxError } from "../../syscalls/index.ts";
export { bandwidthOf, wayLimitsOf } from "./bandwidth.ts";
export { parseAge, parseDuration, parseSize } from "./parse.ts";
export { checkCommand } from "./check-request.ts";
export { capabilityName, DEFAULT_CAPABILITIES } from "./capabilities.ts";
export { SandboxProcess } from "./process.ts";
export { Input, type OutputStream } from "./pipes.ts";
export { ownStream } from "./own-stream.ts";
export type { CommitOptions as BoxCommitOptions, CommittedImage } from "./box-changes.ts";
export type { Change } from "../layer/index.ts";
export { prepare, type BoxImage, type Prepared } from "./image.ts";
export { withImage, type PullProgress } from "./pull.ts";
export { BoxFile, type FileOptions, type ReadOptions, type WriteOptions } from "./file.ts";
export type { FileContent } from "./file-content.ts";
export { BoxFiles } from "./files.ts";
export type * from "./files.ts";
export type { Unpacked } from "./unpack.ts";
export { FileStat, type FileType } from "./file-stat.ts";
export type { DirectoryEntry } from "./directory.ts";
export { Sandbox } from "./sandbox.ts";
export { spawnAlone, spawnOver } from "./spawn.ts";
export { ShellCommand, ShellError, ShellOutput, type Shell } from "./shell.ts";
export type { ShellValue } from "./shell-line.ts";
export type { BoxNetwork } from "./box-network.ts";
export type { PublishedPort } from "./published-ports.ts";
export { Volume } from "./volume.ts";
export type { NotifiedCall, SyscallAnswer, SyscallHandler } from "./notify.ts";
export { rlimitsOf } from "./limits.ts";
export { GROUP_LIMITS, limitsAsResources } from "./resources.ts";
export { privilegedNamespaces } from "./privileged.ts";
export { StackedRoot } from "./stacked-root.ts";
export { ROOT_ID_BASE } from "./namespaces.ts";
export type * from "./options.ts";
export { holdIdRange } from "./id-range.ts";
export { mapsFrom } from "./namespaces.ts";
export { leaveInside, processInside, spawnInside, type InsideOptions } from "./inside.ts";
export { InsideFiles, type PathStat } from "./inside-files.ts";
export { checkLaunchable, launchable, type Launchable } from "./launchable.ts";
export {
  supervise,
  type Executed,
  type Meanwhile,
  type Supervised,
  type SupervisedResult,
  type Supervision,
} from "./supervise.ts";
