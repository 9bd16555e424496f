/** Starts a container that does not run. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { giveBackNetworks } from "./give-back.ts";
import { freshHealth, healthCheckOf } from "./health-check.ts";
import type { Home } from "./home.ts";
import { imageConfigOf } from "./image-config.ts";
import { launchContainer } from "./launch.ts";
import { EXIT } from "./layout.ts";
import { locked } from "./lock.ts";
import { notFound } from "./names.ts";
import { networkPolicyOf, networksOf } from "./network-options.ts";
import type { Joined } from "./networks.ts";
import { settle, started } from "./reconcile.ts";
import type { ContainerRecord } from "./record.ts";
import { removeLocked } from "./remove.ts";
import { callOffRestart } from "./restart-wait.ts";
import { isAlive, untilOver } from "./supervisor.ts";

/** What shells say of commands that cannot be executed, and Docker of all else that keeps a container from starting. */
const EXIT_CODES: Partial<Record<string, number>> = { command_not_found: 127, command_not_executable: 126 };
const OTHER_EXIT_CODE = 128;
/** Who waits for the time of a restart is gone by then, when he is told. */
const CALLED_OFF_MS = 5000;

/**
 * One that runs already is left as it is.
 * @throws TsboxError `container_not_found`, `container_state`, and as `Sandbox.run`
 */
export async function start(home: Home, id: string): Promise<void> {
  await locked(home, id, () => startLocked(home, id));
}

/**
 * The same, by whoever has its lock.
 * @param more what changes with that it runs; by default, as somebody has started it, it was never restarted
 * @param begun called once it is written down that it is being started
 */
export async function startLocked(
  home: Home,
  id: string,
  more: Partial<ContainerRecord> = {},
  begun: () => void = () => {},
): Promise<void> {
  const before = settle(home, id);
  if (!before) throw notFound(id);
  const { status, name, options } = before;
  if (status === "running") return;
  if (status === "paused")
    throw new TsboxError("cannot start a paused container, try unpause instead", { code: "container_state" });
  if (status === "removing" || status === "dead")
    throw new TsboxError(`container is marked for removal and cannot be started: "/${name}"`, {
      code: "container_state",
    });
  const starting = begin(home, before);
  let joined: Joined | undefined;
  try {
    begun();
    await callOff(home, id);
    joined = await join(home, starting);
    const { pid } = await launchContainer(
      home,
      starting,
      joined ? { networked: joined.networked, held: joined.sockets } : {},
    );
    home.state.transaction(() => {
      const record = home.state.containers.get<ContainerRecord>(id);
      if (record) started(home, record, pid, { restarts: 0, restartDelay: 0, stopped: false, ...more });
    });
  } catch (error) {
    if (joined) await giveBackNetworks(home, before);
    takeBack(home, before, error);
    if (options.remove) await removeLocked(home, id, {});
    throw error;
  } finally {
    joined?.forget();
  }
}

async function join(home: Home, starting: ContainerRecord): Promise<Joined | undefined> {
  if (networkPolicyOf(starting.options)) return (await import("./policies.ts")).joinPolicy(home, starting);
  if (networksOf(starting.options).length === 0) return undefined;
  return await (await import("./networks.ts")).joinNetworks(home, starting);
}

/** Nobody waits for its time any more, also where he was told just now. */
async function callOff(home: Home, id: string): Promise<void> {
  if (!isAlive(home, id)) return;
  callOffRestart(home, id);
  await untilOver(home, id, AbortSignal.timeout(CALLED_OFF_MS));
}

/** Nothing that the run before it has left is taken for this one's. */
function begin(home: Home, before: ContainerRecord): ContainerRecord {
  using directory = home.directory(before.id);
  directory?.remove(EXIT);
  const { health: _health, ...known } = before;
  const health = healthCheckOf(before.options.health, imageConfigOf(home, before)) && { health: freshHealth() };
  const starting: ContainerRecord = { ...known, ...health, status: "starting", pid: 0 };
  home.state.containers.update<ContainerRecord>(before.id, () => starting);
  return starting;
}

/** As it was, and why it is so. */
function takeBack(home: Home, { id, status }: ContainerRecord, cause: unknown): void {
  const exitCode = EXIT_CODES[(cause as TsboxError).code] ?? OTHER_EXIT_CODE;
  home.state.containers.update<ContainerRecord>(id, (record) => ({
    ...record,
    status: status === "restarting" ? "exited" : status,
    pid: 0,
    exitCode,
    error: cause instanceof Error ? cause.message : String(cause),
  }));
}
