/** Ends a container that runs. @module */
import { checkOptions, checkSignal } from "../options/index.ts";
import { signalNumber, TsboxError } from "../../syscalls/index.ts";
import { parseDuration, type Duration } from "../sandbox/index.ts";
import { addContainerEvent } from "./events.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { imageConfigOf } from "./image-config.ts";
import { locked } from "./lock.ts";
import { notFound } from "./names.ts";
import { giveBackNetworks } from "./give-back.ts";
import { ownCgroup } from "./own-cgroup.ts";
import { settle } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { callOffRestart } from "./restart-wait.ts";
import { sendToContainer } from "./signals.ts";
import { startLocked } from "./start.ts";
import { runs, notRunning, setStatus } from "./status.ts";
import { untilOver } from "./supervisor.ts";
import { wakeSupervisor } from "./wake.ts";

export interface StopOptions {
  /** Instead of its own. */
  signal?: string | number;
  /** Until it is killed; a negative one waits for ever. */
  timeout?: Duration;
  /**
   * Ends the waiting, and is the error then: the container has its signal, and nobody kills it after its time-out or
   * starts it again.
   */
  abort?: AbortSignal;
}

const SIGKILL = 9;
const SIGTERM = "SIGTERM";
const DEFAULT_TIMEOUT_MS = 10_000;
/** After SIGKILL, a container ends as soon as the kernel has let go of what its processes wait for. */
const KILLED_MS = 30_000;
/** A machine that goes down waits no longer than that for one that may take for ever. */
const HALT_MS = 90_000;

/**
 * With its stop signal, and after its time-out SIGKILL. One that does not run stays as it is.
 * @throws TsboxError `container_not_found`, `invalid_option`; `container_state` where it does not end
 */
export async function stop(home: Home, id: string, options: StopOptions): Promise<void> {
  const given = checked(options);
  const record = await mark(home, id, meantToStop);
  if (record) await endRun(home, record, given);
}

/**
 * @param signal a name or a number, SIGKILL where none is given
 * @throws TsboxError `container_state` where it does not run
 */
export async function kill(home: Home, id: string, signal: string | number = SIGKILL): Promise<void> {
  const number = signalOf(signal);
  const record = recordOf(home, id);
  const refused = () =>
    new TsboxError(`cannot kill container: ${record.name}: container ${id} is not running`, {
      code: "container_state",
    });
  const isEnd = number === SIGKILL || number === stopSignalOf(home, record);
  if (!runs(record) && record.status !== "restarting") throw refused();
  // who ends it like this does not want it back
  if (isEnd && !(await mark(home, id, meantToStop))) return;
  if (!runs(record)) return;
  await send(home, record, number, isEnd);
  if (number !== SIGKILL) return;
  await untilKilled(home, id);
  await settled(home, id);
}

/**
 * Stops it, where it runs, and starts it.
 * @throws as {@link stop}, and as `start`
 */
export async function restart(home: Home, id: string, options: StopOptions): Promise<void> {
  const given = checked(options);
  const record = await mark(home, id, (row) => ({ ...row, after: "restart" }));
  try {
    if (record) await endRun(home, record, given);
  } catch (error) {
    // else whoever tidies up behind it would start it
    const stays = (row: ContainerRecord) => (row.after === "restart" ? meantToStop(row) : row);
    if (given.abort?.aborted) home.state.containers.update<ContainerRecord>(id, stays);
    throw error;
  }
  await locked(home, id, () => restartLocked(home, id));
}

/** Starts it again for who restarts it, unless that has happened already. The caller holds the lock. */
export async function restartLocked(home: Home, id: string): Promise<void> {
  const record = settle(home, id);
  if (!record) throw notFound(id);
  if (runs(record)) return;
  await startLocked(home, id);
  addContainerEvent(home, record, "restart");
}

/** Ends all that run, as the machine goes down; the next boot starts those again that are to run. */
export async function halt(home: Home): Promise<void> {
  const all = home.state.containers.list<ContainerRecord>();
  const failures: unknown[] = [];
  await Promise.all(
    all.map(async ({ id }) => {
      try {
        const record = await mark(home, id, (row) => ({ ...row, after: "halt" }));
        if (record) await endRun(home, record, { timeoutMs: Math.min(timeoutOf(home, record), HALT_MS) });
      } catch (error) {
        if ((error as { code?: string }).code !== "container_not_found") failures.push(error);
      }
    }),
  );
  if (failures.length > 0) throw failures[0];
}

/** What was asked for, understood. */
interface Given {
  signal?: number;
  timeoutMs?: number;
  abort?: AbortSignal;
}

function checked(options: StopOptions): Given {
  checkOptions("stop", options, { signal: "any", timeout: "duration", abort: "any" });
  const { signal, timeout, abort } = options;
  checkSignal(abort);
  return {
    ...(signal === undefined ? {} : { signal: signalOf(signal) }),
    ...(timeout === undefined ? {} : { timeoutMs: timeoutMs("use the time-out", timeout) }),
    ...(abort === undefined ? {} : { abort }),
  };
}

const signalOf = (signal: string | number): number =>
  signalNumber(typeof signal === "string" && /^\d+$/.test(signal) ? Number(signal) : signal);

/** 0 does not wait, and what is negative waits for ever. */
function timeoutMs(what: string, timeout: Duration): number {
  if (/^-\d/.test(String(timeout))) return Infinity;
  return /^0(ms|s|m|h)?$/.test(String(timeout)) ? 0 : parseDuration(what, timeout);
}

const stopSignalOf = (home: Home, record: ContainerRecord): number =>
  signalOf(record.options.stopSignal ?? imageConfigOf(home, record).StopSignal ?? SIGTERM);

function timeoutOf(home: Home, record: ContainerRecord): number {
  const { stopTimeout } = record.options;
  if (stopTimeout !== undefined) return timeoutMs("use the container's stop time-out", stopTimeout);
  const { StopTimeout: seconds } = imageConfigOf(home, record);
  if (seconds === undefined) return DEFAULT_TIMEOUT_MS;
  return seconds < 0 ? Infinity : seconds * 1000;
}

/** Whatever somebody wanted before. */
const meantToStop = ({ after: _after, ...row }: ContainerRecord): ContainerRecord => ({ ...row, stopped: true });

/**
 * Writes down that it is about to end, before it is made to: what decides about its next start finds that.
 * @returns what is up, and has to be ended
 */
async function mark(
  home: Home,
  id: string,
  change: (row: ContainerRecord) => ContainerRecord,
): Promise<ContainerRecord | undefined> {
  return await locked(home, id, () => {
    wakeSupervisor(home, id);
    const record = settle(home, id);
    if (!record) throw notFound(id);
    if (record.status === "restarting") return callOff(home, record, change);
    if (!runs(record)) return undefined;
    return home.state.withSpare(() => home.state.containers.update<ContainerRecord>(id, change));
  });
}

/** Nothing of it runs: it has ended when nobody waits to start it any more. */
function callOff(home: Home, { id }: ContainerRecord, change: (row: ContainerRecord) => ContainerRecord): undefined {
  home.state.withSpare(() =>
    home.state.transaction(() => {
      const row = home.state.containers.update<ContainerRecord>(id, (each) => ({ ...change(each), status: "exited" }));
      if (row?.stopped) addContainerEvent(home, row, "stop");
    }),
  );
  callOffRestart(home, id);
}

async function endRun(home: Home, record: ContainerRecord, given: Given): Promise<void> {
  const { id } = record;
  const limitMs = given.timeoutMs ?? timeoutOf(home, record);
  await send(home, record, given.signal ?? stopSignalOf(home, record), true);
  if (!(await isOverWithin(home, id, limitMs, given.abort))) {
    await send(home, record, SIGKILL, true);
    await untilKilled(home, id, given.abort);
  }
  const now = await settled(home, id);
  home.state.withSpare(() => addContainerEvent(home, now ?? record, "stop"));
}

/** @param ends whether it is meant to end: what is paused goes on for that */
async function send(home: Home, { id }: ContainerRecord, signal: number, ends: boolean): Promise<void> {
  wakeSupervisor(home, id);
  // it has ended meanwhile, which is no failure of who wanted that
  if (!sendToContainer(home, id, signal)) {
    if (ends) return;
    throw notRunning(id);
  }
  const now = home.state.containers.get<ContainerRecord>(id);
  if (!now) return;
  home.state.withSpare(() => addContainerEvent(home, now, "kill", { attributes: { signal: String(signal) } }));
  if (!ends || now.status !== "paused") return;
  await ownCgroup(now.cgroup)?.thaw();
  setStatus(home, id, "running", "unpause");
}

async function untilKilled(home: Home, id: string, abort?: AbortSignal): Promise<void> {
  if (await isOverWithin(home, id, KILLED_MS, abort)) return;
  throw new TsboxError(`container ${id} did not exit: its processes do not end`, {
    code: "container_state",
    hint: "one waits in the kernel, for a disk or a network file system",
  });
}

/** @throws the reason of `abort`, where that fires */
async function isOverWithin(home: Home, id: string, limitMs: number, abort?: AbortSignal): Promise<boolean> {
  if (limitMs === Infinity) return await untilOver(home, id, abort).then(() => true);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), limitMs);
  try {
    await untilOver(home, id, abort ? AbortSignal.any([abort, late.signal]) : late.signal);
    return !late.signal.aborted;
  } catch (error) {
    abort?.throwIfAborted();
    if (late.signal.aborted) return false;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Once its end is written down. @returns undefined where it has been removed with it */
async function settled(home: Home, id: string): Promise<ContainerRecord | undefined> {
  try {
    return await locked(home, id, async () => {
      const record = settle(home, id);
      if (record && !runs(record)) await giveBackNetworks(home, record);
      return record;
    });
  } catch (error) {
    if ((error as { code?: string }).code === "container_not_found") return undefined;
    throw error;
  }
}
