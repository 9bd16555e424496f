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
export type {
  BuildEvent,
  BuildOutput,
  BuildResult,
  CacheUsage,
  ContextSource,
  Finding,
  PlannedStep,
  PruneOptions as PruneCacheOptions,
  PrunedCache,
  RemoteCache,
} from "./build/index.ts";
export type {
  Attachment,
  AttachOptions,
  Container,
  ContainerCommitOptions,
  ContainerEvent,
  ContainerFilters,
  ContainerInspect,
  ContainerMount,
  ContainerNamespaces,
  ContainerNetwork,
  ContainerOptions,
  ContainerPolicy,
  ContainerRecord,
  Containers,
  ContainerStats,
  ContainerStatsOptions,
  ContainerStatus,
  CopyInOptions,
  CopyOutOptions,
  Ended,
  EventsOptions,
  ExecOptions,
  Explanation,
  HealthOptions,
  ListOptions,
  LogEntry,
  LogOptions,
  LogsOptions,
  MakeOptions,
  Pruned,
  PruneContainersOptions,
  RemoveOptions,
  RestartPolicy,
  StopOptions,
  TopRow,
  UpdateOptions,
  WaitOptions,
  WriteLogsOptions,
} from "./containers/index.ts";
export type { NetworkFilters, NetworkOptions, NetworkRecord, Networks } from "./network/index.ts";
export type {
  PrunedVolumes,
  PruneVolumesOptions,
  RemoveVolumeOptions,
  VolumeFilters,
  VolumeOptions,
  VolumeRecord,
  Volumes,
} from "./volumes/index.ts";
export { image, ImageBuilder } from "./image-builder/index.ts";
export type { RegistryOptions } from "./registry/index.ts";
export type * from "./images/index.ts";
export { Terminal, type TerminalOptions } from "./terminal/index.ts";
