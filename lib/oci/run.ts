/** `run`: creates a container, starts it, and waits for it unless it is detached. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { createContainer, type Created } from "./create.ts";
import { adoptOrphans, waitForChild } from "./child.ts";
import { joinConsole } from "./console.ts";
import { removeContainer } from "./delete.ts";
import { NotifySocket } from "./notify-socket.ts";
import { runPoststart, startCreated } from "./start.ts";
import type { Container } from "./container.ts";
import type { RunOptions, Runtime } from "./runtime.ts";

/** @returns the exit status of its process; 0 where it is detached */
export async function run(runtime: Runtime, id: string, options: RunOptions): Promise<number> {
  if (!options.detach && options.subreaper) adoptOrphans();
  const created = await createContainer(runtime, id, options, options.detach);
  using container = created.container;
  let stays = options.keep;
  // what hooks and the start itself have to say is shown as well
  const shown = options.detach ? undefined : showTerminal(created);
  try {
    if (container.record.idle)
      throw new TsboxError(`run container "${id}": process was not set`, { code: "invalid_option" });
    using notify = NotifySocket.bind(container, options.notifySocket);
    await startCreated(container);
    await runPoststart(container);
    container.unlock(); // others may pause it, update it, …
    if (!options.detach) return await waitFor(created, shown, notify);
    await notify?.untilReady(container.record, container.record.pid, runtime.log);
    stays = true;
    return 0;
  } finally {
    await shown;
    if (!stays) await removeAtEnd(container);
  }
}

/** Where its terminal's master comes here. */
const showTerminal = ({ launched, spec }: Created): Promise<void> | undefined =>
  spec.process.terminal && launched.passed ? joinConsole(launched.passed) : undefined;

async function waitFor(
  { container, launched }: Created,
  shown: Promise<void> | undefined,
  notify: NotifySocket | undefined,
): Promise<number> {
  const [status] = await Promise.all([waitForChild(launched.pid), shown, passOn(container, notify)]);
  return status;
}

/** For systemd, this process is the service's: it ends with the container. */
async function passOn({ record, runtime }: Container, notify: NotifySocket | undefined): Promise<void> {
  await notify?.untilReady(record, process.pid, runtime.log);
  await notify?.untilEnd(record);
}

/** Unless somebody else has done it. */
async function removeAtEnd(container: Container): Promise<void> {
  try {
    await container.lock();
  } catch (error) {
    if (error instanceof TsboxError && error.code === "container_not_found") return;
    throw error;
  }
  await removeContainer(container, true);
}
