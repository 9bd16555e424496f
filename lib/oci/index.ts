/** The OCI runtime: containers that last, in the words of the runtime specification. @module */
import type { Features } from "../spec/index.ts";
import type { Schemata } from "./update.ts";
import type { CreateOptions, ExecOptions, RunOptions, Runtime, StartOptions } from "./runtime.ts";

export { absolute, signalNumber } from "../../syscalls/index.ts";
export { Container, START_SOCKET } from "./container.ts";
export { remove } from "./delete.ts";
export { events, stats, type Event } from "./events.ts";
export { runHooks, tryHooks } from "./hooks.ts";
export { checkId } from "./id.ts";
export { isRunning, signalProcess, startTimeOf } from "./init-process.ts";
export { kill } from "./kill.ts";
export { list } from "./list.ts";
export { Log, type Logger, type LogFormat } from "./log.ts";
export { OCI_VERSION } from "./oci-version.ts";
export { defaultRoot, isHostRoot } from "./owner.ts";
export { pause, resume } from "./pause.ts";
export { processes } from "./ps.ts";
export { RECORD_VERSION, type ContainerRecord } from "./record.ts";
export { state, type ContainerState } from "./state.ts";
export type { Schemata } from "./update.ts";
export type * from "./runtime.ts";

// what makes processes takes most of the engine: it is loaded for the verbs that do

export async function create(runtime: Runtime, id: string, options: CreateOptions): Promise<void> {
  await (await import("./create.ts")).create(runtime, id, options);
}

export async function start(runtime: Runtime, id: string, options: StartOptions): Promise<void> {
  await (await import("./start.ts")).start(runtime, id, options);
}

/** @param version tsbox's own */
export async function features(version: string): Promise<Features> {
  return (await import("./features.ts")).features(version);
}

export async function writeSpec(bundle: string, rootless: boolean): Promise<void> {
  (await import("./spec.ts")).writeSpec(bundle, rootless);
}

export async function update(runtime: Runtime, id: string, resources: string, schemata: Schemata): Promise<void> {
  await (await import("./update.ts")).update(runtime, id, resources, schemata);
}

/** @returns the exit status of the command; 0 where it is detached */
export async function run(runtime: Runtime, id: string, options: RunOptions): Promise<number> {
  return (await import("./run.ts")).run(runtime, id, options);
}

/** @returns the exit status of the command; 0 where it is detached */
export async function exec(runtime: Runtime, id: string, options: ExecOptions): Promise<number> {
  return (await import("./exec.ts")).exec(runtime, id, options);
}
