/**
 * `start`: has a container that was created execute its command.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md#start
 */
import * as sys from "../../syscalls/index.ts";
import { Descriptors, TsboxError } from "../../syscalls/index.ts";
import { Container, START_SOCKET } from "./container.ts";
import { removeContainer } from "./delete.ts";
import { runHooks } from "./hooks.ts";
import { signalProcess } from "./init-process.ts";
import { connectAgent } from "./listener.ts";
import { NotifySocket } from "./notify-socket.ts";
import type { Runtime, StartOptions } from "./runtime.ts";

/** @throws TsboxError `container_state`, `command_not_found`, `hook_failed`, … */
export async function start(runtime: Runtime, id: string, { notifySocket }: StartOptions = {}): Promise<void> {
  using container = Container.open(runtime, id);
  await container.lock();
  container.reload();
  const status = await container.status();
  if (status !== "created") throw refusal(id, status);
  using notify = NotifySocket.bind(container, notifySocket);
  await startCreated(container);
  try {
    await runPoststart(container);
  } catch (error) {
    await removeContainer(container, true);
    throw error;
  }
  container.unlock();
  await notify?.untilReady(container.record, container.record.pid, runtime.log);
}

const REFUSED: Record<string, string> = {
  stopped: "cannot start a container that has stopped",
  paused: "cannot start a container in the paused state",
};
const refusal = (id: string, status: string) =>
  new TsboxError(`start container "${id}": ${REFUSED[status] ?? "cannot start an already running container"}`, {
    code: "container_state",
  });

/** One that is locked, and waits. */
export const startCreated = (container: Container): Promise<void> => attempt(container, () => tellStart(container));

async function tellStart(container: Container): Promise<void> {
  const { record } = container;
  using opened = new Descriptors();
  const agent = record.agent === undefined ? undefined : connectAgent(record.agent);
  const socket = opened.add(sys.connectSocket(`/proc/self/fd/${container.directory.fd}/${START_SOCKET}`));
  sys.send(socket, Uint8Array.of(1));
  const failure = await outcome(container, socket, agent);
  // what is started is no longer waiting, and what has failed never will be
  container.directory.remove(START_SOCKET);
  if (failure) throw failure;
  if (record.idle) container.runtime.log.error(`start container "${record.id}": process was not set`);
}

/** @throws TsboxError `hook_failed`: the container is stopped, and is to be deleted */
export async function runPoststart(container: Container): Promise<void> {
  await attempt(container, () => runHooks("poststart", container.record.hooks?.poststart, container.state("running")));
}

/** One whose start is broken off is no use to anybody. */
async function attempt<T>({ record }: Container, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signalProcess(record, SIGKILL);
    throw error;
  }
}

const SIGKILL = 9;

/** Waits until it has executed its command, which closes the socket, or has told why not. */
async function outcome(
  container: Container,
  socket: number,
  agent: number | undefined,
): Promise<TsboxError | undefined> {
  let failure: TsboxError | undefined;
  for (;;) {
    // exactly a frame: what comes behind it may carry a descriptor
    const frame = sys.read(socket, FRAME_BYTES);
    if (typeof frame === "number" || frame.length === 0) return failure;
    // most have nothing to tell, and so nothing is loaded that understands it
    const { understand } = await import("./start-frame.ts");
    failure ??= understand(container, socket, agent, frame);
  }
}

const FRAME_BYTES = 16;
