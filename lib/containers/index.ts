/** Containers that last. @module */
export { Container } from "./container.ts";
export { Containers } from "./containers.ts";
export type { MakeOptions } from "./create.ts";
export { Home } from "./home.ts";
export type { Attachment, AttachOptions } from "./attach.ts";
export type { ContainerCommitOptions } from "./changes.ts";
export type { CopyInOptions, CopyOutOptions } from "./copy.ts";
export type { EventsOptions } from "./event-stream.ts";
export type { ExecOptions } from "./exec.ts";
export type * from "./explain.ts";
export type { NetworkEnds, NetworkInterface } from "./network-ends.ts";
export type { ContainerFilters, ListOptions } from "./filter.ts";
export type { ContainerInspect } from "./inspect.ts";
export type { LogEntry, LogsOptions, WriteLogsOptions } from "./logs.ts";
export type { TakePiece } from "./log-lines.ts";
export { answerForNames, beginAgain } from "./netd.ts";
export { networksAt, type Place } from "./networks.ts";
export { networksOf } from "./network-options.ts";
export { portColumn, portTexts } from "./port-texts.ts";
export type * from "./options.ts";
export type { Pruned, PruneContainersOptions } from "./prune.ts";
export type * from "./record.ts";
export type { RemoveOptions } from "./remove.ts";
export type { ContainerStats, ContainerStatsOptions } from "./stats.ts";
export type { StopOptions } from "./stop.ts";
export type { TopRow } from "./top.ts";
export type { UpdateOptions } from "./update.ts";
export type { WaitOptions } from "./wait.ts";

/** The host's side of `cp`, loaded when it is needed. */
export const hostFiles = () => import("./host-files.ts");
export { toldStatus } from "./told-status.ts";
