/** `kill`: a signal to a container. @module */
import { errnoName, TsboxError } from "../../syscalls/index.ts";
import { Container } from "./container.ts";
import { isRunning, signalProcess } from "./init-process.ts";
import type { Runtime } from "./runtime.ts";

export const SIGKILL = 9;

/**
 * To its first process, or to all of them. Killing a container whose processes do not end with the first one, since it
 * shares the pid namespace of others, kills all of them.
 *
 * @param signal a number; 0 asks whether there is somebody
 * @throws TsboxError `container_state` where it is not running, unless all were meant
 */
export async function kill(
  runtime: Runtime,
  id: string,
  signal: number,
  { all = false }: { all?: boolean } = {},
): Promise<void> {
  using container = Container.open(runtime, id);
  const { record, cgroup } = container;
  const everybody = all || (signal === SIGKILL && record.sharesPids);
  if (everybody && cgroup && (isRunning(record) || cgroup.pids().length > 0)) await cgroup.kill(signal);
  else if (!signalFirst(container, signal)) {
    if (all) return;
    throw new TsboxError(`kill container "${id}": container not running`, { code: "container_state" });
  }
  // what is frozen dies when it goes on
  if (signal === SIGKILL && cgroup?.isFrozen()) await cgroup.thaw();
}

/** @returns whether it is running */
function signalFirst({ id, record }: Container, signal: number): boolean {
  const result = signalProcess(record, signal);
  if (result !== undefined && result < 0) {
    const why = errnoName(-result);
    throw new TsboxError(`send signal ${signal} to container "${id}": ${why}`, { code: "system", errno: -result });
  }
  return result !== undefined;
}
