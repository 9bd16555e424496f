/** Starts the processes of a container, under a supervisor that outlives this program. @module */
import * as sys from "../../syscalls/index.ts";
import { Descriptors, TsboxError, type Directory } from "../../syscalls/index.ts";
import { ContainerCgroup, type CgroupRecord } from "../cgroup/index.ts";
import { holdIdRange, launchable, mapsFrom, parseDuration, parseSize, supervise } from "../sandbox/index.ts";
import type { Meanwhile, Launchable, Supervised, SupervisedResult, Supervision } from "../sandbox/index.ts";
import type { Resources, Spec } from "../spec/index.ts";
import { markDecision } from "./decide.ts";
import { healthCheckOf, type HealthCheck } from "./health-check.ts";
import type { Home } from "./home.ts";
import {
  ALIVE,
  DECIDE,
  EXIT,
  EXIT_BYTES,
  LAYER,
  LOG,
  LOG_CHUNK,
  LOG_HEADER,
  LOG_TURN,
  PIDFD_SOCKET,
  STDIN_SOCKET,
} from "./layout.ts";
import { openLog, WHOLE, WRITTEN } from "./log-file.ts";
import type { ContainerRecord } from "./record.ts";
import { mountsFor, releaseMounts } from "./mounts.ts";
import { joinedOf } from "./network.ts";
import { ownCgroup } from "./own-cgroup.ts";
import { hasLayer, requestOf } from "./request.ts";
import { rotationOf } from "./log-rotation.ts";
import { writeCopy } from "./record-copy.ts";
import { callSelf } from "./self.ts";
import { writeSpec } from "./spec-file.ts";
import { isAlive, untilOver } from "./supervisor.ts";

export interface Running {
  /** Of init, on the host. */
  pid: number;
}

export interface LaunchOptions {
  /**
   * Makes ready the network namespace of its own that it has then, before its command begins.
   * @param reached init's pid on the host, once that is there
   */
  networked?: Meanwhile;
  /** Descriptors that are open as long as it runs. */
  held?: readonly number[];
}

const NEW_EXIT = `.${EXIT}.new`;
const [O_RDWR, O_NONBLOCK, O_CREAT] = [2, 0o4000, 0o100];
/** A command that writes much goes on while it is written down. Root may have so much, a user 64 MiB for all its pipes. */
const OUTPUT_BYTES = { root: 1024 * 1024, user: 256 * 1024 };
const SIGKILL = 9;

/**
 * Once its command is executed. The caller holds the container's lock, and has written down that it is starting.
 * @throws TsboxError as `Sandbox.run`; nothing is left of it then
 */
export async function launchContainer(
  home: Home,
  record: ContainerRecord,
  options: LaunchOptions = {},
): Promise<Running> {
  const { id } = record;
  using directory = home.directory(id);
  if (!directory)
    throw new TsboxError(`start the container: its directory is gone`, { code: "system", path: home.path(id) });
  if (isAlive(home, id)) throw new TsboxError("start the container: it runs", { code: "container_state" });
  if (hasLayer(record.options) && !directory.status(LAYER)) directory.makeDirectory(LAYER, 0o700);
  const made = await mountsFor(home, record);
  let found: Launchable | undefined;
  try {
    const { mounts, locks } = made;
    const request = requestOf(home, record, { mounts, ...joinedOf(home, record) });
    found = launchable(record.command, request, record.image);
    const held = [...locks, ...(options.held ?? [])];
    const { pid } = await start(home, record, directory, found, { ...options, held });
    found.image?.leave();
    made.leave();
    return { pid };
  } catch (error) {
    found?.image?.release();
    made.release();
    await releaseMounts(home, record);
    throw error;
  }
}

async function start(
  home: Home,
  record: ContainerRecord,
  directory: Directory,
  { requested, image }: Launchable,
  { networked, held = [] }: LaunchOptions,
): Promise<SupervisedResult> {
  const { id } = record;
  using opened = new Descriptors();
  const ids = requested.beside.ownIds ? holdIds(home, record, opened) : undefined;
  const spec = ids
    ? { ...requested.spec, linux: { ...requested.spec.linux, ...mapsFrom(ids.hostID) } }
    : requested.spec;
  const cgroup = await makeCgroup(home, record, spec);
  try {
    writeSpec(directory, spec);
    markDecision(directory, record, callSelf(home, "ended", id));
    const { files, stdio } = openFiles(record, directory, cgroup, opened);
    if (image?.lock !== undefined) files.locks.push(image.lock);
    if (ids) files.locks.push(ids.lock);
    files.locks.push(...held);
    const supervision = supervisionOf(home, record, cgroup, image);
    const result = await supervise({ ...requested, spec }, cgroup, stdio, files, supervision, networked);
    opened[Symbol.dispose]();
    if (result.failure) throw result.failure;
    if (!result.isSupervised && !directory.status(EXIT))
      throw new TsboxError("start the container: its supervisor ended before it could say why", { code: "system" });
    return result;
  } catch (error) {
    opened[Symbol.dispose]();
    await untilOver(home, id);
    for (const name of [NEW_EXIT, EXIT, PIDFD_SOCKET, STDIN_SOCKET]) directory.remove(name);
    await cgroup.remove();
    throw error;
  }
}

/** Ids that no other container has, as long as there is this one, and no sandbox meanwhile. */
function holdIds(home: Home, { id, hostID: before }: ContainerRecord, opened: Descriptors) {
  const others = home.state.containers.list<ContainerRecord>().filter((other) => other.id !== id);
  const taken = new Set(others.map(({ hostID }) => hostID));
  const range = holdIdRange(before, (hostID) => taken.has(hostID));
  opened.add(range.lock);
  if (range.hostID !== before)
    home.state.containers.update<ContainerRecord>(id, (record) => ({ ...record, hostID: range.hostID }));
  return range;
}

/** Written down before it is made. */
async function makeCgroup(
  home: Home,
  { id, cgroup: old, options }: ContainerRecord,
  spec: Spec,
): Promise<ContainerCgroup> {
  const { resources: limits = {}, cgroupsPath: parent } = spec.linux;
  // where nothing is said, containers have the usual devices
  const resources = options.security?.privileged
    ? { ...limits, devices: [{ allow: true, type: "a" as const }] }
    : limits;
  const save = (cgroup: CgroupRecord) =>
    home.state.containers.update<ContainerRecord>(id, (record) => ({ ...record, cgroup }));
  await removeOld(old);
  const rootless = sys.effectiveUid() !== 0;
  const name = `tsbox-${id}`;
  const planned = await ContainerCgroup.plan({
    id: name,
    cgroupsPath: parent === undefined ? undefined : `${parent}${name}`,
    systemd: false,
    rootless,
  });
  save(planned);
  const isLimited = Object.keys(limits).length > 0;
  let made = await makeIfPossible(planned, resources, isLimited && !options.limits?.optional);
  if (!made && isLimited) made = await makeIfPossible(planned, {}, false);
  // one without limits is for those who ask what it uses, and is done without
  const cgroup = made ?? new ContainerCgroup(WITHOUT);
  const now = save(cgroup.record);
  // who finds the database lost can still thaw what runs, and limit it
  if (now) writeCopy(home, now);
  return cgroup;
}

async function makeIfPossible(
  planned: CgroupRecord,
  resources: Resources,
  isRequired: boolean,
): Promise<ContainerCgroup | undefined> {
  const cgroup = new ContainerCgroup(planned);
  try {
    await cgroup.make(resources);
    return cgroup;
  } catch (error) {
    if (isRequired) throw error;
    return undefined;
  }
}

/** Of a run whose supervisor was killed; what is left in it may be frozen, and so has not ended. */
async function removeOld(record: CgroupRecord | undefined): Promise<void> {
  const isThere = Object.values(record?.paths ?? {}).some((path) => sys.kindOfPath(path));
  const cgroup = isThere ? ownCgroup(record) : undefined;
  await cgroup?.kill(SIGKILL);
  await cgroup?.remove();
}

const WITHOUT: CgroupRecord = { paths: {}, asked: false, made: false, rootless: true };

interface Files {
  files: Supervised;
  stdio: { stdin: number; stdout: number; stderr: number };
}

function openFiles(
  { options }: ContainerRecord,
  directory: Directory,
  { record: { paths } }: ContainerCgroup,
  opened: Descriptors,
): Files {
  const files: Supervised = {
    directory: opened.add(sys.open(directory.path, sys.O_RDONLY | sys.O_DIRECTORY)),
    alive: opened.add(openAlive(directory)),
    log: opened.add(openLog(`${directory.path}/${LOG}`)),
    exit: opened.add(reserveExit(directory)),
    "pidfd socket": listen(directory, PIDFD_SOCKET, opened),
    "stdin socket": -1,
    events: openEvents(paths),
    in: -1,
    out: -1,
    err: -1,
    locks: [],
  };
  if (files.events >= 0) opened.add(files.events);
  const stdio = { stdin: -1, stdout: -1, stderr: -1 };
  const terminal = options.terminal !== undefined && options.terminal !== false;
  if (terminal || options.openStdin) files["stdin socket"] = listen(directory, STDIN_SOCKET, opened);
  if (terminal) return { files, stdio };
  const pipe = () => sys.stdioPipe().map((fd) => opened.add(fd)) as [number, number];
  [files.out, stdio.stdout] = pipe();
  sys.resizePipe(files.out, OUTPUT_BYTES[sys.effectiveUid() === 0 ? "root" : "user"]);
  [files.err, stdio.stderr] = pipe();
  for (const fd of [files.out, files.err]) sys.setNonBlocking(fd);
  if (options.openStdin) [stdio.stdin, files.in] = pipe();
  return { files, stdio };
}

/** Without a writer there is nobody; with one of its own, it can be opened at once. */
function openAlive(directory: Directory): number {
  if (!directory.status(ALIVE)) directory.makeFifo(ALIVE, 0o600);
  return sys.open(`${directory.path}/${ALIVE}`, O_RDWR | O_NONBLOCK);
}

/** The disk may be full when it ends. */
function reserveExit(directory: Directory): number {
  directory.remove(EXIT);
  const fd = sys.open(`${directory.path}/${NEW_EXIT}`, O_RDWR | O_CREAT, 0o600);
  const written = sys.write(fd, new Uint8Array(EXIT_BYTES));
  sys.trySyscall("lseek", fd, 0, 0);
  if (written >= 0) return fd;
  sys.close(fd);
  throw sys.systemError("make room for the exit status", "write", -written);
}

function listen(directory: Directory, name: string, opened: Descriptors): number {
  directory.remove(name);
  return opened.add(sys.listenIn(directory.fd, name));
}

function openEvents({ memory, "": unified }: Record<string, string>): number {
  if (memory !== undefined) return sys.tryOpen(`${memory}/memory.oom_control`, sys.O_RDONLY);
  return unified === undefined ? -1 : sys.tryOpen(`${unified}/memory.events`, sys.O_RDONLY);
}

function supervisionOf(
  home: Home,
  { id, options }: ContainerRecord,
  { record }: ContainerCgroup,
  image: Launchable["image"],
): Supervision {
  const { log, openStdin = false, terminal, limits } = options;
  const ended = callSelf(home, "ended", id);
  const health = healthCheckOf(options.health, image?.image.config.config ?? {});
  const check = health && callSelf(home, "health", id);
  if (health && !check)
    throw new TsboxError("check the container's health: there is no tsbox that could", { code: "unsupported" });
  return {
    stdin: openStdin,
    terminal: terminal !== undefined && terminal !== false,
    log: {
      name: LOG,
      turn: LOG_TURN,
      ...rotationOf(log),
      headerBytes: LOG_HEADER,
      chunkBytes: LOG_CHUNK,
      modes: [WRITTEN, WHOLE],
    },
    limits: {
      timeMs: limits?.time === undefined ? undefined : parseDuration("use the time limit", limits.time),
      outputBytes: limits?.output === undefined ? undefined : parseSize("use the output limit", limits.output),
    },
    exit: { name: EXIT, temporary: NEW_EXIT, sizeBytes: EXIT_BYTES },
    sockets: [PIDFD_SOCKET, STDIN_SOCKET],
    cgroups: [...new Set(Object.values(record.paths))],
    ...(check && {
      health: { ...check, intervalMs: health.intervalMs, soonMs: health.startIntervalMs, firstMs: firstMs(health) },
    }),
    ...(ended && { ended: { ...ended, where: DECIDE } }),
  };
}

/** Until the first check. */
const firstMs = ({ startPeriodMs, startIntervalMs, intervalMs }: HealthCheck): number =>
  startPeriodMs > 0 ? Math.min(startIntervalMs, intervalMs) : intervalMs;
