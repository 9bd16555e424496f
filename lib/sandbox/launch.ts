/**
 * Performs a sandbox's plan: memory, descriptors, the clone, the id maps.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, type Arena, type Plan, TsboxError } from "../../syscalls/index.ts";
import { findHierarchies, type Cgroup } from "../cgroup/index.ts";
import {
  compileTake,
  FrameReader,
  initSteps,
  isBind,
  listens,
  relaySteps,
  IN_USE,
  OWN_MAP,
  type Beside,
  type CgroupHierarchies,
  type Facts,
  type InitKind,
  type JoinKind,
  type OwnedPlan,
  volumeSlot,
} from "../plan/index.ts";
import type { IdMapping, Spec } from "../spec/index.ts";
import { Control } from "./control.ts";
import { failureOf } from "./failure.ts";
import { claimIdRange } from "./id-range.ts";
import { mapsFrom } from "./namespaces.ts";
import { findIdMapper } from "./subordinate-ids.ts";
import { layOut, layOutJoin, layOutJoiner, type Layout } from "./layout.ts";
import type { Volume } from "./volume.ts";

/** Descriptors for the command; -1 is /dev/null. They stay the caller's. */
export interface Stdio {
  stdin: number;
  stdout: number;
  stderr: number;
}

/** What has been started: init, or what waits outside for a process that joined. The owner is its parent. */
export interface Launched {
  pid: number;
  control: Control;
  /** A descriptor for the owner, where there is to be one: of the command's terminal, or what was taken. Undefined where it failed. */
  passed?: Promise<number | undefined>;
  /** Once it runs, or has been reaped: gives the memory of the plan back. More calls do no harm. */
  release(): void;
  /** Once it has been reaped: gives back what was its own as long as it ran. */
  gone?(): void;
}

/** What the machine is like, as far as this spec needs to know. */
export function factsFor(spec: Spec, membership: Facts["cgroup"]): Facts {
  const kernelPaths = new Map<string, "file" | "directory">();
  for (const path of [...(spec.linux.maskedPaths ?? []), ...(spec.linux.readonlyPaths ?? [])]) {
    const kind = kindOfKernelPath(path);
    if (kind) kernelPaths.set(path, kind);
  }
  const sources = new Map<string, "file" | "directory">();
  for (const mount of spec.mounts) {
    const { source = "" } = mount;
    // what is not there is told when it is opened
    if (isBind(mount)) sources.set(source, sys.kindOfPath(source) ?? "file");
  }
  const facts: Facts = { arch: ARCH, privileged: sys.effectiveUid() === 0, sources, kernelPaths, cgroup: membership };
  if (spec.mounts.some(({ type }) => type === "cgroup")) facts.hierarchies = hierarchies();
  if (spec.linux.namespaces.some(({ type }) => type === "time")) facts.kernel = kernelVersion();
  if (!facts.privileged && spec.linux.uidMappings && !isOwnId(spec)) facts.idMapper = findIdMapper();
  return facts;
}

function hierarchies(): CgroupHierarchies {
  const { v1, v2 } = findHierarchies();
  const controllers = new Map<string, string[]>();
  for (const [name, { mount }] of v1) controllers.set(mount, [...(controllers.get(mount) ?? []), name]);
  return { v1: [...controllers.values()], v2: v2 !== undefined };
}

/** An ordinary user may map its own id by itself. */
function isOwnId({ linux: { uidMappings = [], gidMappings = [] } }: Spec): boolean {
  const is = (maps: IdMapping[], id: number) => maps.length === 1 && maps[0]?.hostID === id && maps[0].size === 1;
  return is(uidMappings, sys.effectiveUid()) && is(gidMappings, sys.effectiveGid());
}

function kernelVersion(): [major: number, minor: number] {
  const release = sys.readKernelFile("/proc/sys/kernel/osrelease") ?? "";
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return [major, minor];
}

const kernelPathKinds = new Map<string, "file" | "directory" | undefined>();

function kindOfKernelPath(path: string): "file" | "directory" | undefined {
  if (!kernelPathKinds.has(path)) kernelPathKinds.set(path, sys.kindOfPath(path));
  return kernelPathKinds.get(path);
}

/**
 * Starts a fresh sandbox, in place.
 * @param layout the benchmark passes one that it has put clocks into
 * @throws TsboxError what the owner's steps come to; the rest is told over the socket
 */
export function launch(
  spec: Spec,
  beside: Beside,
  stdio: Stdio,
  cgroup: Cgroup,
  layout?: Layout,
  volumes: Volumes = NO_VOLUMES,
): Launched {
  if (!beside.ownIds) return launchMapped(spec, beside, stdio, cgroup, layout, volumes);
  const range = claimIdRange();
  try {
    const mapped = { ...spec, linux: { ...spec.linux, ...mapsFrom(range.hostID) } };
    const launched = launchMapped(mapped, beside, stdio, cgroup, layout, volumes);
    const gone = () => {
      launched.gone?.();
      range.release();
    };
    return { ...launched, gone };
  } catch (error) {
    range.release();
    throw error;
  }
}

/** By their mount points. */
export type Volumes = ReadonlyMap<string, Volume>;
const NO_VOLUMES: Volumes = new Map();

function launchMapped(
  spec: Spec,
  beside: Beside,
  stdio: Stdio,
  cgroup: Cgroup,
  layout: Layout | undefined,
  volumes: Volumes,
): Launched {
  using opened = new Descriptors();
  const made = layout ?? layOut(spec, beside, factsFor(spec, cgroup.membership));
  if (!made.kept) opened.add(made.commandImage);
  const images = { init: initImage(made.compiled.init, made.compiled.sized), "command-image": made.commandImage };
  const bound: Record<string, number> = { ...images, ...stdio };
  bindCgroup(bound, cgroup, opened);
  for (const [destination, volume] of volumes) bound[volumeSlot(destination)] = opened.add(volume.take());
  const control = bindControl(bound, opened);
  const terminal = bindTerminal(spec, bound, opened);
  const layer = beside.root.kind === "overlay" ? beside.root.layer : undefined;
  if (layer === undefined) return start(made, bound, control, made.compiled.plan, terminal);
  const lock = lockLayer(layer);
  try {
    const launched = start(made, bound, control, made.compiled.plan, terminal);
    return { ...launched, gone: () => sys.close(lock) };
  } catch (error) {
    sys.close(lock);
    throw error;
  }
}

/**
 * Starts a process that joins a sandbox, as an image: nothing of the owner's memory goes along.
 * @param sandbox a pidfd of its init
 */
export function join(
  spec: Spec,
  sandbox: number,
  stdio: Stdio,
  cgroup: Cgroup,
  sized: boolean,
  kind: JoinKind = "command",
): Launched & { program: Program } {
  using opened = new Descriptors();
  const { plan, program } = layOutJoin(spec, cgroup.membership, sized, kind);
  const bound: Record<string, number> = { sandbox, ...stdio };
  bindCgroup(bound, cgroup, opened);
  const terminal = bindTerminal(spec, bound, opened);
  return { ...startImage({ plan, program }, bound, opened, terminal, spec.process.args), program };
}

/** Takes what is mounted at a path of a sandbox, which is passed to the owner as an open tree. */
export function take(spec: Spec, sandbox: number, path: string): Launched {
  using opened = new Descriptors();
  const plan = compileTake(spec, path);
  const bound: Record<string, number> = { sandbox };
  const passing = bindPassing(bound, opened);
  return startImage({ plan, program: new Program(plan, ARCH) }, bound, opened, passing);
}

/** Starts what waits at the listener of a filter, outside of every sandbox. */
export function startRelay(listener: number, socket: number): Launched {
  using opened = new Descriptors();
  [listener, socket].forEach((fd) => opened.add(fd));
  const plan = relaySteps();
  return startImage({ plan, program: new Program(plan, ARCH) }, { listener, socket }, opened, undefined);
}

/** Executes a program that joins, with the descriptors that are bound, as an image. */
function startImage(
  { plan, program }: { plan: Plan; program: Program },
  bound: Record<string, number>,
  opened: Descriptors,
  passSocket: number | undefined,
  args?: string[],
): Launched {
  const kept = Object.values(bound).filter((fd) => fd >= 0);
  const control = bindControl(bound, opened);
  kept.push(bound["control"] as number);
  const content = sys.elfImage(program, bound, bound["control"], args);
  const joiner = Object.fromEntries(kept.map((fd, index) => [`kept${index}`, fd]));
  joiner["image"] = opened.add(sys.sealedFile("tsbox-join", content));
  // nothing but the image tells a failure over the socket
  return start(layOutJoiner(kept.length), { ...joiner, control: -1 }, control, plan, passSocket);
}

/** A plan and its layout, whatever it is for. */
interface Started {
  compiled: OwnedPlan;
  program: Program;
}

/** Walks the owner's part of a plan; what it clones walks the rest. */
function start(
  { compiled, program }: Started,
  bound: Record<string, number>,
  control: number,
  plan: Plan,
  passSocket: number | undefined,
): Launched {
  const arena = takeArena(program.size);
  program.write(arena.bytes, arena.view, arena.address, bound, bound["control"] as number);
  let held = true;
  const release = () => {
    if (held) retire(arena, program.offset(compiled.inUse));
    held = false;
  };
  if (sys.runProgram(arena.address, 0) < 0) {
    const error = giveUp(compiled, program, arena, control);
    release();
    if (passSocket !== undefined) sys.close(passSocket);
    throw error;
  }
  const pid = program.result(arena, "first");
  if (passSocket === undefined) return { pid, control: new Control(control, plan), release };
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const receive = () => {
    const fd = sys.receiveDescriptor(passSocket);
    resolve(fd < 0 ? undefined : fd);
  };
  const told = new Control(control, plan, receive);
  void told.told.then(() => {
    sys.close(passSocket);
    resolve(undefined);
  });
  return { pid, control: told, passed: promise, release };
}

/** After a failed step of the owner's: undoes the others. @returns the first failure, which may be the child's */
function giveUp({ owner, plan }: OwnedPlan, program: Program, arena: Arena, control: number): TsboxError {
  const report = new DataView(arena.bytes.slice(0, REPORT_BYTES).buffer);
  const SIG_SETMASK = 2;
  sys.trySyscall("rt_sigprocmask", SIG_SETMASK, arena.address + program.offset(owner.signals), 0, 8);
  for (const slot of owner.opened) {
    const fd = program.result(arena, slot);
    if (fd > 2) sys.close(fd);
  }
  const child = program.result(arena, "first") || program.result(arena, "between");
  // it reads end of file where it waits for the id maps, and ends
  if (child > 0) while (sys.reap(child) === undefined);
  const mapped = program.result(arena, OWN_MAP.process);
  if (mapped > 0) while (sys.reap(mapped) === undefined);
  const told = child > 0 ? childsFailure(control) : undefined;
  sys.close(control);
  return failureOf(told ?? report, plan);
}

/** What a child that has ended said of a step of its own: without one, nothing of the owner's could have failed. */
function childsFailure(control: number): DataView | undefined {
  const bytes = sys.readNow(control);
  const frames = bytes ? new FrameReader().take(bytes) : [];
  const steps = frames.flatMap((frame) => (frame.kind === "failed" ? [frame.report] : []));
  // the owner's own report is among them, and of an earlier step
  return steps.toSorted((a, b) => b.getUint32(0, true) - a.getUint32(0, true))[0];
}

const REPORT_BYTES = 16;

function bindCgroup(bound: Record<string, number>, cgroup: Cgroup, opened: Descriptors): void {
  Object.assign(bound, cgroup.open(opened));
}

/** @returns the owner's end */
function bindControl(bound: Record<string, number>, opened: Descriptors): number {
  const [owner, control] = sys.socketPair();
  opened.add(control);
  Object.assign(bound, {
    owner,
    control,
    "control-1": control - 1,
    "control+1": control + 1,
    "control+2": control + 2,
    "control+3": control + 3,
  });
  return owner;
}

/** What two overlays write at a time is undefined. Gone with this process, like the sandbox. */
function lockLayer(layer: string): number {
  const fd = sys.open(layer, sys.O_RDONLY | sys.O_DIRECTORY);
  if (sys.lockFile(fd)) return fd;
  sys.close(fd);
  throw new TsboxError(`use the writableLayer "${layer}": another sandbox does`, { code: "mount_failed", path: layer });
}

function bindTerminal(spec: Spec, bound: Record<string, number>, opened: Descriptors): number | undefined {
  return spec.process.terminal || (spec.process.args.length > 0 && listens(spec))
    ? bindPassing(bound, opened)
    : undefined;
}

/** @returns the owner's end of the socket that a descriptor is passed over */
function bindPassing(bound: Record<string, number>, opened: Descriptors): number {
  const [ours, theirs] = sys.socketPair();
  bound["pass-socket"] = opened.add(theirs);
  return ours;
}

const images = new Map<string, number>();

/** Sealed, so that no sandbox can change what the next one runs; one descriptor a kind for the life of this process. */
function initImage(kind: Exclude<InitKind, "outside">, sized: boolean): number {
  const key = sized ? `${kind} sized` : kind;
  let fd = images.get(key);
  if (fd === undefined) {
    const content = sys.elfImage(new Program(initSteps(kind, sized, true), ARCH));
    // what joins goes to namespaces of an idle one, for which it has to be looked into; nobody is there before it is hard
    fd = sys.sealedFile("tsbox-init", content, kind === "idle" ? 0o777 : 0o111);
    images.set(key, fd);
  }
  return fd;
}

const ARENA_BYTES = 256 * 1024;
/** More than there are sandboxes that start at the same moment do not help. */
const MAX_IDLE = 16;
const idle: Arena[] = [];

function takeArena(size: number): Arena {
  if (size > ARENA_BYTES) return sys.mapArena(Math.ceil(size / 4096) * 4096);
  return idle.pop() ?? sys.mapArena(ARENA_BYTES);
}

/** @param inUse offset of the words that the kernel clears when a process has executed something else or is gone */
function retire(arena: Arena, inUse: number): void {
  if (Object.values(IN_USE).some((word) => arena.view.getUint32(inUse + word, true) !== 0)) {
    setTimeout(() => retire(arena, inUse), 5).unref?.();
  } else if (arena.size > ARENA_BYTES) sys.unmapArena(arena);
  else if (idle.length < MAX_IDLE) idle.push(arena);
  else sys.unmapArena(arena);
}

/** Waits until nothing is left of what was started. @returns its wait status */
export async function bury({ pid, control, release, gone }: Launched): Promise<number> {
  control.close();
  let status = sys.reap(pid);
  if (status === undefined) {
    // the kernel is taking the namespaces down: to stand still for that fraction of a millisecond is quicker than to
    // look again and again, and leaves it the processor (measured)
    const pidfd = sys.openPidfd(pid);
    sys.waitBriefly(pidfd, BRIEFLY_US);
    sys.close(pidfd);
    for (let turn = 0; (status = sys.reap(pid)) === undefined; turn++) await pause(turn);
  }
  release();
  gone?.();
  return status;
}

const BRIEFLY_US = 300;

/** Busy at first, because it is nearly always soon. */
function pause(turn: number): Promise<void> {
  return new Promise((resolve) => {
    if (turn < 20) setImmediate(resolve);
    else setTimeout(resolve, Math.min(turn - 19, 20));
  });
}

/** Kills init or what waits outside, and so all that depends on it. */
export function kill({ pid }: Launched): void {
  const pidfd = sys.openPidfd(pid);
  sys.sendSignal(pidfd, SIGKILL);
  sys.close(pidfd);
}

const SIGKILL = 9;
