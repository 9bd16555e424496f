/** `delete`: what a container holds is given back. @module */
import { close, trySyscall, TsboxError, waitBriefly } from "../../syscalls/index.ts";
import { Container } from "./container.ts";
import { detachMounts } from "./host-mounts.ts";
import { tryHooks } from "./hooks.ts";
import { isEnding, isRunning, signalProcess } from "./init-process.ts";
import { removeIntelRdt } from "./intel-rdt.ts";
import { SIGKILL } from "./kill.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import type { Status } from "../spec/index.ts";
import type { ContainerRecord } from "./record.ts";
import type { Runtime } from "./runtime.ts";

/** So long a process that was killed may take to end. */
const END_MS = 10_000;
/** And so long one that has ended but for who has joined it, whom nobody asks for: it may be never. */
const JOINED_MS = 1000;

/**
 * A container that has stopped, or that was never started.
 *
 * @param options.force one that runs is killed first; that there is none is no error; and where its record cannot be
 * read, what there is of its directory goes
 * @throws TsboxError `container_not_found`, `container_state`
 */
export async function remove(runtime: Runtime, id: string, { force = false } = {}): Promise<void> {
  try {
    using container = Container.openUnread(runtime, id);
    if (force) killNow(container);
    await container.lock();
    if (readOrClear(container, force)) await removeContainer(container, force);
  } catch (error) {
    if (!(force && hasCode(error, "container_not_found"))) throw error;
  }
}

const hasCode = (error: unknown, code: string) => error instanceof TsboxError && error.code === code;

/** Before the lock: a command that waits for the container's process then goes on, and gives it back. */
function killNow(container: Container): void {
  try {
    container.reload();
    signalProcess(container.record, SIGKILL);
  } catch {
    // there is no record, or it cannot be read: seen to when it is locked
  }
}

/** @returns whether there is a record; where there is none, the directory goes */
function readOrClear(container: Container, force: boolean): boolean {
  try {
    container.reload();
    return true;
  } catch (error) {
    if (hasCode(error, "container_not_found")) {
      container.remove(); // its maker was killed before it had made anything
      throw error;
    }
    if (!force) throw error;
    container.runtime.log.warn(`${(error as Error).message}; its directory is removed, and whatever else it had stays`);
    container.remove();
    return false;
  }
}

/** One that is locked. */
export async function removeContainer(container: Container, force: boolean): Promise<void> {
  if (!force) refuseUnlessOver(container.id, await container.status());
  const { record } = container;
  const cgroup = cgroupOf(container, force);
  await end(record, cgroup);
  detachMounts(record);
  await cgroup?.remove();
  if (record.intelRdt) removeIntelRdt(record.intelRdt);
  container.remove();
  await tryHooks("poststop", record.hooks?.poststop, container.state("stopped"), container.runtime.log);
}

function refuseUnlessOver(id: string, status: Status): void {
  if (status === "stopped" || status === "created") return;
  throw new TsboxError(`delete container "${id}": cannot delete container ${id} that is not stopped: ${status}`, {
    code: "container_state",
    hint: "kill it first, or delete --force",
  });
}

/** By force, also a container goes whose group cannot be told. */
function cgroupOf(container: Container, force: boolean): ContainerCgroup | undefined {
  try {
    return container.cgroup;
  } catch (error) {
    if (!force) throw error;
    container.runtime.log.warn(`${(error as Error).message}; it stays`);
    return undefined;
  }
}

/** Kills what is left of it. */
async function end(record: ContainerRecord, cgroup: ContainerCgroup | undefined): Promise<void> {
  signalProcess(record, SIGKILL);
  // in a pid namespace of its own, nothing outlives the first process
  if (record.sharesPids) await cgroup?.kill(SIGKILL);
  if (!isRunning(record)) return;
  if (cgroup?.isFrozen()) await cgroup?.thaw();
  const pidfd = trySyscall("pidfd_open", record.pid, 0);
  const isLeft = () => isRunning(record) && !isEnding(record.pid);
  if (pidfd >= 0 && isRunning(record)) waitBriefly(pidfd, JOINED_MS * 1000);
  if (pidfd >= 0 && isLeft()) waitBriefly(pidfd, (END_MS - JOINED_MS) * 1000);
  if (pidfd >= 0) close(pidfd);
  if (isLeft()) {
    throw new TsboxError(
      `delete container "${record.id}": its first process, ${record.pid}, was killed and is still there`,
      {
        code: "container_state",
      },
    );
  }
}
