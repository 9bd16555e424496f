/**
 * What goes with a container, and what commands that were killed have left of containers. All of it is found by rows and
 * directories; what somebody has the lock of is left alone.
 * @module
 */
import {
  close,
  Directory,
  ERRNO,
  kindOfPath,
  OpenFile,
  removeTree,
  sendSignal,
  TsboxError,
} from "../../syscalls/index.ts";
import type { NetworkRecord } from "../network/index.ts";
import { storing } from "../state/index.ts";
import { addContainerEvent } from "./events.ts";
import type { Home } from "./home.ts";
import { COMMIT, CONTAINERS, LOCK, RECORD } from "./layout.ts";
import { tryLock } from "./lock.ts";
import { isId } from "./names.ts";
import { giveBackNetworks } from "./give-back.ts";
import type { ContainerRecord } from "./record.ts";
import { settle } from "./reconcile.ts";
import { callSelf } from "./self.ts";
import { callOffRestart } from "./restart-wait.ts";
import { connectPidfd, isAlive, untilOver } from "./supervisor.ts";

const SIGKILL = 9;
/** What was killed ends at once, unless its supervisor has no room for what it wrote. */
const END_MS = 30_000;
/** Whoever waits for a container that goes by itself has so long to read how it ended. */
const READ_MS = 10_000;

/**
 * Removes all that a container is made of, and its row last. Whoever calls it has its lock, and has written down that it
 * is removed (or it never was whole).
 */
export async function removeRest(home: Home, record: ContainerRecord): Promise<void> {
  const { id, status } = record;
  await end(home, id);
  await removeCgroup(record);
  await releaseVolumes(home, record);
  await removeVolumes(home, record);
  using directory = home.directory(id);
  if (directory) await removeFiles(directory);
  home.state.withSpare(() =>
    home.state.transaction(() => {
      if (home.state.containers.remove(id) && status !== "creating") addContainerEvent(home, record, "destroy");
    }),
  );
  directory?.remove(LOCK);
  using above = Directory.open(`${home.root}/${CONTAINERS}`);
  above?.removeDirectory(id);
  // last: who waits for it to be gone does not wait for the kernel to forget its devices, which takes a while
  await giveBackNetworks(home, record);
}

/** With SIGKILL, however it was when it was last looked at. */
export async function end(home: Home, id: string): Promise<void> {
  for (const until = performance.now() + END_MS; isAlive(home, id);) {
    if (performance.now() > until) {
      throw new TsboxError(
        `end the container ${id.slice(0, 12)}: its supervisor is still there after ${END_MS / 1000} s`,
        {
          code: "container_state",
          hint: "it cannot write down what the container wrote where the disk is full",
        },
      );
    }
    const init = connectPidfd(home, id);
    if (init !== undefined) {
      sendSignal(init, SIGKILL);
      close(init);
      // what is paused dies only once it goes on
      const cgroup = home.state.containers.get<ContainerRecord>(id)?.cgroup;
      if (cgroup) await (await import("./own-cgroup.ts")).ownCgroup(cgroup)?.thaw();
    } else callOffRestart(home, id);
    await untilOver(home, id, AbortSignal.timeout(1000)).catch((error: unknown) => {
      if (error instanceof TsboxError && error.code !== "aborted") throw error;
    });
  }
}

async function removeCgroup({ cgroup }: ContainerRecord): Promise<void> {
  // its supervisor has removed them, where that could
  if (!cgroup || !Object.values(cgroup.paths).some((path) => kindOfPath(path))) return;
  const group = (await import("./own-cgroup.ts")).ownCgroup(cgroup);
  await group?.kill(SIGKILL);
  await group?.remove();
}

/** File systems that are mounted as long as a container has them. */
async function releaseVolumes(home: Home, record: ContainerRecord): Promise<void> {
  if (record.volumes.length > 0) await (await import("./mounts.ts")).releaseMounts(home, record);
}

/** Those that are its own; another container may have them by now. */
async function removeVolumes(home: Home, { id, volumes: used }: ContainerRecord): Promise<void> {
  if (used.length === 0) return;
  const { Volumes } = await import("../volumes/index.ts");
  const volumes = new Volumes(() => home.state);
  for (const { name, anonymous } of used) if (anonymous) await volumes.removeUnused(name, id);
}

/** All but the lock. The copy of its record goes first: nothing makes a container of what is left then. */
async function removeFiles(directory: Directory): Promise<void> {
  storing(() => directory.remove(RECORD));
  for (const name of storing(() => directory.names())) {
    if (name === LOCK) continue;
    if (directory.status(name)?.kind !== "directory") storing(() => directory.remove(name));
    else await removeDirectory(directory, name);
  }
}

async function removeDirectory(parent: Directory, name: string): Promise<void> {
  try {
    removeTree(parent, name);
  } catch (error) {
    const isForbidden = error instanceof TsboxError && (error.errno === ERRNO.EACCES || error.errno === ERRNO.EPERM);
    const ids = isForbidden ? (await import("../launch/index.ts")).imageIds() : undefined;
    if (!ids) throw error;
    // files of subordinate ids
    const { removeTreeAs } = await import("../layer/index.ts");
    storing(() => removeTreeAs(ids, parent, name));
  }
}

/**
 * Finishes what was begun by commands that were killed. What cannot be removed now is left for the next time.
 * @param records all that there are, where somebody has them already
 * @returns whether a record may have changed
 */
export async function sweepLeftovers(home: Home, records?: readonly ContainerRecord[]): Promise<boolean> {
  const known = new Set(records?.map(({ id }) => id) ?? home.state.containers.ids());
  using above = storing(() => Directory.open(`${home.root}/${CONTAINERS}`));
  for (const id of above ? storing(() => above.names()) : [])
    if (!known.has(id) && isId(id)) await quietly(() => sweepUnknown(home, id));
  // whoever makes a container comes by this himself, and does not wait twice
  if (records) await quietly(() => sweepNetworks(home, known));
  const unfinished =
    records?.filter(isUnfinished) ?? home.state.containers.where<ContainerRecord>("status", ["creating", "removing"]);
  for (const { id } of unfinished) await quietly(() => sweepKnown(home, id));
  return unfinished.length > 0;
}

/** What is left in networks of a container that is gone. */
async function sweepNetworks(home: Home, known: ReadonlySet<string>): Promise<void> {
  const endpoints = home.state.networks.list<NetworkRecord>().flatMap((network) => Object.values(network.endpoints));
  if (!endpoints.some(({ container, box }) => !box && !known.has(container))) return;
  await (await import("./networks.ts")).networksAt(home).sweep();
}

async function quietly(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof TsboxError)) throw error;
  }
}

/** It goes by itself, or is going; or it has ended without anybody to remove its control groups; or a commit has paused it. */
function isUnfinished(record: ContainerRecord): boolean {
  const { status, cgroup, after, committing } = record;
  if (status === "creating" || status === "removing") return true;
  if (status === "paused") return committing === true;
  return status === "exited" && (cgroup !== undefined || after === "decide" || goesByItself(record));
}

/** And is not about to be started again by whoever has stopped it. */
function goesByItself({ options, after, finishedAt = 0 }: ContainerRecord): boolean {
  return options.remove === true && after !== "restart" && finishedAt < Date.now() - READ_MS;
}

/** A directory of no container: of one that was about to be made, or almost gone. */
async function sweepUnknown(home: Home, id: string): Promise<void> {
  using held = tryLock(home, id);
  // one that runs was there before its record was lost, and is not taken away from who needs it
  if (!held || home.state.containers.get(id) || isAlive(home, id)) return;
  using directory = home.directory(id);
  if (directory) await removeFiles(directory);
  directory?.remove(LOCK);
  using above = Directory.open(`${home.root}/${CONTAINERS}`);
  above?.removeDirectory(id);
}

async function sweepKnown(home: Home, id: string): Promise<void> {
  using held = tryLock(home, id);
  using directory = home.directory(id);
  if (!held && directory) return;
  const record = settle(home, id);
  if (!record || !isUnfinished(record)) return;
  if (record.status === "paused") return await goOn(home, id, directory);
  if (record.status === "exited" && !goesByItself(record)) return await forgetEnded(home, record);
  await removeRest(home, markRemoving(home, id, true) ?? record);
}

/** Unless whoever has paused it is still at it. */
async function goOn(home: Home, id: string, directory: Directory | undefined): Promise<void> {
  using file = directory && OpenFile.open(directory, COMMIT);
  if (file && !file.tryLock("exclusive")) return;
  await (await import("./pause.ts")).unpauseLocked(home, id);
}

/**
 * From now on nothing but removing it is possible. One that is not whole stays that.
 * @param isWhole volumes that are only its own go with it; where it is marked already, what was said then counts
 */
export function markRemoving(home: Home, id: string, isWhole: boolean): ContainerRecord | undefined {
  return home.state.withSpare(() =>
    home.state.containers.update<ContainerRecord>(id, (record) => ({
      ...record,
      status: record.status === "creating" ? "creating" : "removing",
      volumes: record.volumes.map((volume) => ({ ...volume, anonymous: volume.anonymous && isWhole })),
    })),
  );
}

async function forgetEnded(home: Home, record: ContainerRecord): Promise<void> {
  await removeCgroup(record);
  await giveBackNetworks(home, record);
  await releaseVolumes(home, record);
  const isAsked = record.after === "decide" && decideLater(home, record.id);
  home.state.containers.update<ContainerRecord>(record.id, ({ cgroup, after, ...rest }) => {
    if (!cgroup && !isAsked) return undefined;
    return after === undefined || isAsked ? rest : { ...rest, after };
  });
}

/**
 * By a process of its own, as if its supervisor had asked; it waits for the container's lock.
 * @returns whether there is one: otherwise it is for the next command to ask
 */
function decideLater(home: Home, id: string): boolean {
  const self = callSelf(home, "ended", id);
  if (!self) return false;
  const { spawn } = process.getBuiltinModule("node:child_process");
  const env = Object.fromEntries(self.env.map((line) => line.split(/=(.*)/s) as [string, string]));
  const child = spawn(self.file, self.args.slice(1), { detached: true, stdio: "ignore", env });
  // such as no more processes, or that somebody else has waited for it: nothing that this program should end for
  child.on("error", () => {});
  child.unref();
  return child.pid !== undefined;
}
