/**
 * Performs a sandbox's plan: memory, descriptors, the clone, the id maps.
 * @module
 */
import { setImmediate } from "node:timers";
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, type Arena, type Data, type Plan } from "../../syscalls/index.ts";
import type { Cgroup } from "../cgroup/index.ts";
import {
  cloneArguments,
  compileJoin,
  initSteps,
  IN_USE,
  type Beside,
  type Facts,
  type InitKind,
} from "../plan/index.ts";
import type { Spec } from "../spec/index.ts";
import { Control } from "./control.ts";
import { cloneError } from "./failure.ts";
import { layOut, type Layout } from "./layout.ts";

/** Descriptors for the command; -1 is /dev/null. They stay the caller's. */
export interface Stdio {
  stdin: number;
  stdout: number;
  stderr: number;
}

/** What has been started: the owner is the parent of these processes. */
export interface Launched {
  /**
   * Init, or what waits outside for a process that joined; undefined where the starter has ended without making it.
   * Where the starter is not that far yet, this stands still for the fraction of a millisecond that it takes.
   */
  pid(): number | undefined;
  control: Control;
  /** Once {@link pid} has been reaped: reaps the rest, and gives the memory of the plan back. */
  release(): void;
}

/** What the machine is like, as far as this spec needs to know. */
export function factsFor(spec: Spec, membership: Facts["cgroup"]): Facts {
  const kernelPaths = new Map<string, "file" | "directory">();
  for (const path of [...(spec.linux.maskedPaths ?? []), ...(spec.linux.readonlyPaths ?? [])]) {
    const kind = kindOfKernelPath(path);
    if (kind) kernelPaths.set(path, kind);
  }
  const sources = new Map<string, "file" | "directory">();
  for (const { type, source = "" } of spec.mounts) {
    // what is not there is told when it is opened
    if (type === "bind") sources.set(source, sys.kindOfPath(source) ?? "file");
  }
  return { arch: ARCH, privileged: sys.effectiveUid() === 0, sources, kernelPaths, cgroup: membership };
}

const kernelPathKinds = new Map<string, "file" | "directory" | undefined>();

function kindOfKernelPath(path: string): "file" | "directory" | undefined {
  if (!kernelPathKinds.has(path)) kernelPathKinds.set(path, sys.kindOfPath(path));
  return kernelPathKinds.get(path);
}

/**
 * Starts a fresh sandbox, in place.
 * @param layout the benchmark passes one that it has put clocks into
 * @throws TsboxError what was known before; the rest is told over the socket
 */
export function launch(spec: Spec, beside: Beside, stdio: Stdio, cgroup: Cgroup, layout?: Layout): Launched {
  using opened = new Descriptors();
  const { compiled, program } = layout ?? layOut(spec, beside, factsFor(spec, cgroup.membership));
  const bound: Record<string, number> = { init: initImage(compiled.init), ...stdio };
  bindCgroup(bound, cgroup, opened);
  const control = bindControl(bound, opened);
  const arena = takeArena(program.size);
  program.write(arena.bytes, arena.view, arena.address, bound, bound["control"] as number);
  const inUse = program.offset(compiled.inUse);
  const starter = clone(arena, program, compiled.cloneArgs, inUse, control);
  const wait = () => sys.waitForWord(arena.address + inUse + IN_USE.starter, WORD_WAIT_US);
  let first = 0; // not known yet
  return {
    pid() {
      while (first === 0) {
        const runs = arena.view.getUint32(inUse + IN_USE.starter, true) !== 0;
        first = program.result(arena, "first") || (runs ? 0 : -1);
        if (first === 0) wait();
      }
      return first > 0 ? first : undefined;
    },
    control: new Control(control, compiled.plan),
    release() {
      while (sys.reap(starter) === undefined) wait();
      retire(arena, inUse);
    },
  };
}

/** How long to stand still for a process that is about to be done. */
const WORD_WAIT_US = 100;

/**
 * Starts a process that joins a sandbox, as an image: nothing of the owner's memory goes along.
 * @param sandbox a pidfd of its init
 */
export function join(spec: Spec, sandbox: number, stdio: Stdio, cgroup: Cgroup): Launched {
  using opened = new Descriptors();
  const plan = compileJoin(spec, factsFor({ ...spec, mounts: [] }, cgroup.membership));
  const bound: Record<string, number> = { sandbox, ...stdio };
  bindCgroup(bound, cgroup, opened);
  const kept = Object.values(bound).filter((fd) => fd >= 0);
  const control = bindControl(bound, opened);
  kept.push(bound["control"] as number);
  const content = sys.elfImage(new Program(plan, ARCH), bound, bound["control"]);
  const stub = intoImage(opened.add(sys.sealedFile("tsbox-join", content)), kept);
  const program = new Program(stub.plan, ARCH);
  const arena = takeArena(program.size);
  program.write(arena.bytes, arena.view, arena.address, {}, -1);
  const inUse = program.offset(stub.inUse);
  const pid = clone(arena, program, stub.cloneArgs, inUse, control);
  return { pid: () => pid, control: new Control(control, plan), release: () => retire(arena, inUse) };
}

/** The one clone that the owner makes itself. */
function clone(arena: Arena, program: Program, args: Data, inUse: number, control: number): number {
  const at = arena.address + program.offset(args);
  const pid = sys.spawnProgram(arena.address, program.label("starter"), at, CLONE_ARGS_BYTES);
  if (pid > 0) return pid;
  sys.close(control);
  arena.view.setUint32(inUse + IN_USE.starter, 0, true);
  retire(arena, inUse);
  throw cloneError(-pid);
}

function bindCgroup(bound: Record<string, number>, cgroup: Cgroup, opened: Descriptors): void {
  for (const [name, fd] of Object.entries(cgroup.open())) bound[name] = opened.add(fd);
}

/** @returns the owner's end */
function bindControl(bound: Record<string, number>, opened: Descriptors): number {
  const [owner, control] = sys.socketPair();
  opened.add(control);
  Object.assign(bound, { owner, control, "control-1": control - 1, "control+1": control + 1 });
  return owner;
}

const images = new Map<InitKind, number>();

/** Sealed, so that no sandbox can change what the next one runs; one descriptor a kind for the life of this process. */
function initImage(kind: Exclude<InitKind, "outside">): number {
  let fd = images.get(kind);
  if (fd === undefined) {
    fd = sys.sealedFile("tsbox-init", sys.elfImage(new Program(initSteps(kind), ARCH)));
    images.set(kind, fd);
  }
  return fd;
}

const CLONE_ARGS_BYTES = 88;
const ARENA_BYTES = 256 * 1024;
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
  else idle.push(arena);
}

/** The few calls before the image: it gets the descriptors that it knows by number. */
function intoImage(image: number, kept: number[]): { plan: Plan; cloneArgs: Data; inUse: Data } {
  const { cstring, named, stringArray, words } = sys;
  const inUse = words("in use", 1, 0, 0);
  const [CLONE_VM, CLONE_CHILD_CLEARTID, CLONE_CLEAR_SIGHAND] = [0x100, 0x200000, 0x100000000];
  const flags = named(
    "CLONE_VM|CLONE_CHILD_CLEARTID|CLONE_CLEAR_SIGHAND",
    CLONE_VM + CLONE_CHILD_CLEARTID + CLONE_CLEAR_SIGHAND,
  );
  const cloneArgs = cloneArguments({ label: "starter", flags, inUse });
  const into = [image, cstring(""), stringArray(["tsbox-join"]), stringArray([]), named("AT_EMPTY_PATH", 0x1000)];
  const plan: Plan = [
    {
      action: "execute the image that joins the sandbox",
      ops: [
        // the owner makes this call itself
        { call: "spawn", args: [cloneArgs, CLONE_ARGS_BYTES], label: "starter" },
        { call: "label", args: [], label: "starter" },
        ...kept.map((fd): sys.Op => ({ call: "fcntl", args: [fd, named("F_SETFD", 2), 0] })),
        { call: "execveat", args: into },
      ],
    },
  ];
  return { plan, cloneArgs, inUse };
}

/** Waits until nothing is left of what was started. @returns the wait status of {@link Launched.pid} */
export async function bury({ pid, control, release }: Launched): Promise<number> {
  control.close();
  const child = pid();
  let status = child === undefined ? 0 : sys.reap(child);
  if (child !== undefined && status === undefined) {
    // the kernel is taking the namespaces down: to stand still for that fraction of a millisecond is quicker than to
    // look again and again, and leaves it the processor (measured)
    const pidfd = sys.openPidfd(child);
    sys.waitBriefly(pidfd, BRIEFLY_US);
    sys.close(pidfd);
    for (let turn = 0; (status = sys.reap(child)) === undefined; turn++) await pause(turn);
  }
  release();
  return status ?? 0;
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
export function kill(launched: Launched): void {
  const pid = launched.pid();
  if (pid === undefined) return;
  const pidfd = sys.openPidfd(pid);
  sys.sendSignal(pidfd, SIGKILL);
  sys.close(pidfd);
}

const SIGKILL = 9;
