/**
 * Performs a plan: memory, descriptors, the clone, and what comes back.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, type Arena, type Plan, TsboxError } from "../../syscalls/index.ts";
import { compileJoiner, FrameReader, IN_USE, OWN_MAP, type OwnedPlan } from "../plan/index.ts";
import { Control } from "./control.ts";
import { failureOf } from "./failure.ts";

/** What has been started: init, or what waits outside for a process that joined. The owner is its parent. */
export interface Launched {
  pid: number;
  control: Control;
  /** A descriptor for the owner, where there is to be one: of the command's terminal, or what was taken. Undefined where it failed. */
  passed?: Promise<number | undefined>;
  /** The next one, of a process that passes two: the listener of a filter, behind a terminal. */
  passedNext?: Promise<number | undefined>;
  /** Once it runs, or has been reaped: gives the memory of the plan back. More calls do no harm. */
  release(): void;
  /** Once it has been reaped: gives back what was its own as long as it ran. */
  gone?(): void;
}

/** Executes a program that joins, with the descriptors that are bound, as an image. */
export function startImage(
  { plan, program }: { plan: Plan; program: Program },
  bound: Record<string, number>,
  opened: Descriptors,
  passSocket?: number,
  args?: string[],
  taken?: (fd: number) => void,
): Launched {
  const kept = Object.values(bound).filter((fd) => fd >= 0);
  const control = bindControl(bound, opened);
  kept.push(bound["control"] as number);
  const content = sys.elfImage(program, bound, bound["control"], args);
  return executeImage(content, kept, { plan, control, opened }, { passSocket, taken });
}

/** @param kept descriptors that it knows by number */
export function executeImage(
  content: Uint8Array,
  kept: number[],
  { plan, control, opened }: { plan: Plan; control: number; opened: Descriptors },
  listening: Listening = {},
): Launched {
  const joiner = Object.fromEntries(kept.map((fd, index) => [`kept${index}`, fd]));
  joiner["image"] = opened.add(sys.sealedFile("tsbox-join", content));
  // nothing but the image tells a failure over the socket
  return start(layOutJoiner(kept.length), { ...joiner, control: -1 }, control, plan, listening);
}

const joiners = new Map<number, Started>();

/** What executes the image, with so many descriptors. */
function layOutJoiner(kept: number): Started {
  let layout = joiners.get(kept);
  if (!layout) {
    const compiled = compileJoiner(kept);
    joiners.set(kept, (layout = { compiled, program: new Program(compiled.plan, ARCH) }));
  }
  return layout;
}

/** A plan and its layout, whatever it is for. */
export interface Started {
  compiled: OwnedPlan;
  program: Program;
}

/** What the owner is told besides how it goes. */
interface Listening {
  /** Its end of a socket that descriptors are passed over. */
  passSocket?: number | undefined;
  /** Gets each descriptor; without it, the first is the promise `passed`. */
  taken?: ((fd: number) => void) | undefined;
  /** Answers a process that waits for it. */
  reached?: ((control: Control) => void) | undefined;
}

/** Walks the owner's part of a plan; what it clones walks the rest. */
export function start(
  { compiled, program }: Started,
  bound: Record<string, number>,
  control: number,
  plan: Plan,
  { passSocket, taken, reached }: Listening = {},
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
  if (passSocket === undefined) {
    const told: Control = new Control(control, plan, undefined, () => reached?.(told));
    return { pid, control: told, release };
  }
  const [first, next] = [promised(), promised()];
  let resolve = first.resolve;
  const receive = () => {
    const fd = sys.receiveDescriptor(passSocket);
    // EAGAIN: another one was passed, over another socket
    if (fd === -EAGAIN) return;
    if (taken && fd >= 0) return taken(fd);
    resolve(fd < 0 ? undefined : fd);
    resolve = next.resolve;
  };
  const told: Control = new Control(control, plan, receive, () => reached?.(told));
  void told.told.then(() => {
    sys.close(passSocket);
    first.resolve(undefined);
    next.resolve(undefined);
  });
  return { pid, control: told, passed: first.promise, passedNext: next.promise, release };
}

const promised = () => Promise.withResolvers<number | undefined>();

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

const [REPORT_BYTES, EAGAIN] = [16, 11];

/** @returns the owner's end */
export function bindControl(bound: Record<string, number>, opened: Descriptors): number {
  const [owner, control] = sys.socketPair();
  opened.add(control);
  Object.assign(bound, {
    owner,
    control,
    "control-1": control - 1,
    "control+1": control + 1,
    "control+2": control + 2,
    "control+3": control + 3,
    "control+4": control + 4,
  });
  return owner;
}

/** @returns the owner's end of the socket that a descriptor is passed over */
export function bindPassing(bound: Record<string, number>, opened: Descriptors): number {
  const [ours, theirs] = sys.socketPair();
  bound["pass-socket"] = opened.add(theirs);
  return ours;
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
    const pidfd = sys.trySyscall("pidfd_open", pid, 0);
    if (pidfd >= 0) {
      sys.waitBriefly(pidfd, BRIEFLY_US);
      sys.close(pidfd);
    }
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

/** Kills init or what waits outside, and so all that depends on it: before {@link bury}, the number is nobody else's. */
export function kill({ pid }: Launched): void {
  // by a pidfd, nothing could be ended when no descriptor is left
  sys.trySyscall("kill", pid, SIGKILL);
}

const SIGKILL = 9;
