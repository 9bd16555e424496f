/**
 * What the kernel knows better than a record says: whether a container runs. A supervisor that is gone has written down
 * how its container ended, or was killed itself; whoever reads the record next makes it so.
 * @module
 */
import { close, readKernelFile } from "../../syscalls/index.ts";
import { wayLimitsOf } from "../sandbox/index.ts";
import { addContainerEvent } from "./events.ts";
import { tellEndedExecs } from "./exec-end.ts";
import type { Home } from "./home.ts";
import { ALIVE, PIDFD_SOCKET, STDIN_SOCKET } from "./layout.ts";
import { tryLock } from "./lock.ts";
import { ownCgroup } from "./own-cgroup.ts";
import type { ContainerRecord, ContainerStatus } from "./record.ts";
import { networkPolicyOf } from "./network-options.ts";
import { restartDelay } from "./restart-policy.ts";
import { TrafficFile } from "./traffic-file.ts";
import { connectPidfd, isAlive, readExit, type Exit } from "./supervisor.ts";

/** Killed, by whoever killed its supervisor or switched off the machine: nobody was there to see it. */
const UNKNOWN_EXIT = 137;
const SIGKILL = 9;
/** So long it may take tsbox to start, and to decide what becomes of a container. */
const DECIDED_MS = 10_000;
/** There is, or may be, a supervisor. */
export const UP: readonly ContainerStatus[] = ["starting", "running", "paused", "restarting"];

export const isUp = ({ status }: Pick<ContainerRecord, "status">): boolean => UP.includes(status);

/** A record as it is true now; undefined where there is no such container, or not yet a whole one. */
export function reconciled(home: Home, record: ContainerRecord): ContainerRecord | undefined {
  if (record.status === "creating") return undefined;
  if (!isUp(record) || (record.status !== "starting" && isAlive(home, record.id))) return record;
  using held = tryLock(home, record.id);
  if (held) return settle(home, record.id);
  using directory = home.directory(record.id);
  // a command is at it: what it has written by now counts. Without a directory there is nothing to be locked
  return directory ? home.state.containers.get<ContainerRecord>(record.id) : settle(home, record.id);
}

/** The same; whoever calls it has the container's lock. Its end becomes an event. */
export function settle(home: Home, id: string): ContainerRecord | undefined {
  const isRunning = isAlive(home, id);
  const exit = isRunning ? undefined : readExit(home, id);
  const pid = isRunning ? pidOf(home, id) : undefined;
  const before = isRunning ? undefined : home.state.containers.get<ContainerRecord>(id);
  if (before && (before.status === "running" || before.status === "paused")) tellEndedExecs(home, before, true);
  const settled = home.state.withSpare(() =>
    home.state.transaction(() => {
      const record = home.state.containers.get<ContainerRecord>(id);
      if (!record || !isUp(record)) return record;
      if (record.status === "starting") return settleStart(home, record, pid, exit);
      return isRunning ? record : settleEnd(home, record, exit);
    }),
  );
  if (!isRunning && settled && !isUp(settled)) removeEnds(home, id);
  return settled;
}

/** Whoever was starting it is gone. */
function settleStart(
  home: Home,
  record: ContainerRecord,
  pid: number | undefined,
  exit: Exit | undefined,
): ContainerRecord {
  if (pid !== undefined) {
    const running = started(home, record, pid);
    // the database was lost while it was paused
    return ownCgroup(record.cgroup)?.isFrozen() ? write(home, { ...running, status: "paused" }) : running;
  }
  // how a run before this one ended is known already
  if (exit && exit.finishedAt > (record.finishedAt ?? 0)) return settleEnd(home, started(home, record, 0), exit);
  // a supervisor that has nothing to supervise yet, or what waits for him, ends by itself
  if (isAlive(home, record.id)) return record;
  if (record.finishedAt === undefined) return write(home, { ...record, status: "created", pid: 0 });
  // it may have been its policy that was starting it
  return write(home, undecided({ ...record, status: "exited", pid: 0 }));
}

/** Writes down that it runs. Part of a transaction. */
export function started(
  home: Home,
  record: ContainerRecord,
  pid: number,
  more: Partial<ContainerRecord> = {},
): ContainerRecord {
  const { error: _error, reason: _reason, after: _after, ...known } = record;
  // one that has ended by now did not begin after that
  const startedAt = Math.min(Date.now(), readExit(home, record.id)?.finishedAt ?? Infinity);
  const running: ContainerRecord = {
    ...known,
    status: "running",
    pid,
    startedAt,
    exitCode: 0,
    oomKilled: false,
    ...more,
  };
  addContainerEvent(home, running, "start", { time: startedAt });
  return write(home, running);
}

function settleEnd(home: Home, record: ContainerRecord, exit: Exit | undefined): ContainerRecord {
  // one that waits to be started again has ended before
  if (record.status === "restarting")
    return isDecided(record) ? record : write(home, undecided({ ...record, status: "exited", pid: 0 }));
  // what ended at once has ended before anybody could write down when it began
  const finishedAt = Math.max(exit?.finishedAt ?? Date.now(), record.startedAt ?? 0);
  const exitCode = exit?.exitCode ?? UNKNOWN_EXIT;
  const oomKilled = exit?.oomKilled ?? false;
  const ended: ContainerRecord = {
    ...record,
    status: "exited",
    pid: 0,
    exitCode,
    oomKilled,
    finishedAt,
    ...(exit?.error === undefined ? {} : { error: exit.error }),
    ...(exit?.reason === undefined ? {} : { reason: exit.reason }),
    ...(exit && spentOf(home, record, exit)),
    // as Docker's: nobody looks after it any more
    ...(record.health && { health: { ...record.health, status: "unhealthy" } }),
  };
  if (exit && restartDelay(ended) !== undefined && isDecided(ended)) ended.status = "restarting";
  if (oomKilled) addContainerEvent(home, record, "oom", { time: finishedAt });
  const seconds = Math.max(0, Math.round((finishedAt - (record.startedAt ?? finishedAt)) / 1000));
  const attributes = { exitCode: String(exitCode), execDuration: String(seconds) };
  addContainerEvent(home, record, "die", { attributes, time: finishedAt });
  return write(home, ended.status === "exited" ? undecided(ended) : ended);
}

/** It was killed when all that may go in and out had gone, which is written down before. */
function spentOf(home: Home, { id, options }: ContainerRecord, exit: Exit): Partial<ContainerRecord> | undefined {
  const { trafficBytes } = networkPolicyOf(options) ? wayLimitsOf(options) : {};
  if (trafficBytes === undefined || exit.signal !== SIGKILL || exit.reason !== undefined) return undefined;
  using directory = home.directory(id);
  using counts = directory && TrafficFile.open(directory);
  const { inBytes, outBytes } = counts?.read() ?? { inBytes: 0, outBytes: 0 };
  if (inBytes + outBytes < trafficBytes) return undefined;
  return { reason: "network", error: "killed: all of its traffic is used (limits.traffic)" };
}

const undecided = (record: ContainerRecord): ContainerRecord =>
  record.after === undefined && restartDelay(record) !== undefined ? { ...record, after: "decide" } : record;

/** What its supervisor has executed at its end is about to decide: `ended.ts`. */
const isDecided = ({ finishedAt = 0 }: ContainerRecord): boolean => Date.now() - finishedAt < DECIDED_MS;

function write(home: Home, record: ContainerRecord): ContainerRecord {
  home.state.containers.update<ContainerRecord>(record.id, () => record);
  return record;
}

/** Of init, on the host. */
export function pidOf(home: Home, id: string): number | undefined {
  const fd = connectPidfd(home, id);
  if (fd === undefined) return undefined;
  try {
    // pidfd_open(2): 0 or -1 where it has ended
    const pid = Number(/^Pid:\s*(-?\d+)$/m.exec(readKernelFile(`/proc/self/fdinfo/${fd}`) ?? "")?.[1] ?? 0);
    return pid > 0 ? pid : undefined;
  } finally {
    close(fd);
  }
}

/** Where its supervisor listened: nobody does any more. */
function removeEnds(home: Home, id: string): void {
  using directory = home.directory(id);
  for (const name of [ALIVE, PIDFD_SOCKET, STDIN_SOCKET]) directory?.remove(name);
}
