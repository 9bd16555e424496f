/** The OCI runtime: containers that last, in the words of the runtime specification. @module */
export { create } from "./create.ts";
export { start } from "./start.ts";
export { Container, START_SOCKET } from "./container.ts";
export { runHooks, tryHooks } from "./hooks.ts";
export { checkId } from "./id.ts";
export { isRunning, signalProcess, startTimeOf } from "./init-process.ts";
export { RECORD_VERSION, type ContainerRecord } from "./record.ts";
export type { Logger } from "./log.ts";
export type * from "./runtime.ts";
