/**
 * Performs a sandbox's plan: memory, descriptors, the clone, the id maps.
 * @module
 */
import { existsSync, statSync } from "node:fs";
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, TsboxError, type Arena, type Plan } from "../../syscalls/index.ts";
import type { Cgroup } from "../cgroup/index.ts";
import {
  CLONE_ARGS_CGROUP,
  compileJoin,
  FrameReader,
  initSteps,
  mountSlot,
  type Beside,
  type Facts,
  type InitKind,
} from "../plan/index.ts";
import type { IdMapping, Spec } from "../spec/index.ts";
import { cloneError, failureOf, idMapError, mountIdsError } from "./failure.ts";
import { layOut } from "./layout.ts";

/** Descriptors for the command; -1 is /dev/null. They stay the caller's. */
export interface Stdio {
  stdin: number;
  stdout: number;
  stderr: number;
}

/** A process that the owner is the parent of: init, or what waits outside for a process that joined. */
export interface Launched {
  pid: number;
  pidfd: number;
  /** The owner's end of the socket; whoever closes it ends the process. */
  control: number;
  plan: Plan;
  /** Gives the memory of the plan back; call it when the process is gone. */
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
  for (const { type, source = "" } of spec.mounts) if (type === "bind") sources.set(source, kindOf(source));
  return { arch: ARCH, privileged: process.geteuid?.() === 0, sources, kernelPaths, cgroup: membership };
}

const kernelPathKinds = new Map<string, "file" | "directory" | undefined>();

function kindOfKernelPath(path: string): "file" | "directory" | undefined {
  if (!kernelPathKinds.has(path)) kernelPathKinds.set(path, existsSync(path) ? kindOf(path) : undefined);
  return kernelPathKinds.get(path);
}

const kindOf = (path: string): "file" | "directory" => (statSync(path).isDirectory() ? "directory" : "file");

/** Starts a fresh sandbox, in place. @throws TsboxError of any code: nothing is left behind */
export function launch(spec: Spec, beside: Beside, stdio: Stdio, cgroup: Cgroup): Launched {
  using opened = new Descriptors();
  const facts = factsFor(spec, cgroup.membership);
  const { compiled, program } = layOut(spec, beside, facts);
  const bound: Record<string, number> = { init: initImage(compiled.init), ...stdio };
  bindCgroup(bound, cgroup, opened);
  const mapped = spec.linux.uidMappings !== undefined;
  const idMapped: number[] = [];
  if (facts.privileged) {
    for (const source of hostPaths(spec, beside)) {
      const fd = opened.add(sys.openTree(source.path, source.recursive));
      bound[source.slot] = fd;
      if (mapped && source.idMapped) idMapped.push(fd);
    }
  }
  const control = bindControl(bound, opened);
  const arena = takeArena(program.size);
  let started: { pid: number; pidfd: number } | undefined;
  try {
    program.write(arena.bytes, arena.view, arena.address, bound, bound["control"] as number);
    const cloneArgs = program.offset(compiled.cloneArgs);
    if (facts.cgroup.into) arena.view.setUint32(cloneArgs + CLONE_ARGS_CGROUP, bound["cgroup"] as number, true);
    const at = { cloneArgs, first: program.label("first"), pidfd: program.offset(compiled.pidfd) };
    started = clone(arena, at);
    if (mapped) writeIdMaps(started.pid, spec, facts.privileged, idMapped);
    sys.send(control, new Uint8Array(1));
  } catch (error) {
    const reason = started ? abandon(started, control, compiled.plan) : undefined;
    sys.close(control);
    idle.push(arena);
    throw reason ?? error;
  }
  return { ...started, control, plan: compiled.plan, release: () => retire(arena, program.offset(compiled.inUse)) };
}

/** Ends a child that still waits for its owner. @returns why it had ended already, where it said so */
function abandon(child: { pid: number; pidfd: number }, control: number, plan: Plan): TsboxError | undefined {
  sys.endSending(control);
  while (sys.reap(child.pid) === undefined);
  sys.close(child.pidfd);
  const said = sys.read(control);
  if (typeof said === "number") return undefined;
  const [frame] = new FrameReader().take(said);
  return frame?.kind === "failed" ? failureOf(frame.report, plan) : undefined;
}

/**
 * Starts a process that joins a sandbox, as an image: nothing of the owner's memory goes along.
 * @param sandbox a pidfd of its init
 */
export function join(spec: Spec, sandbox: number, stdio: Stdio, cgroup: Cgroup): Launched {
  using opened = new Descriptors();
  const plan = compileJoin(spec, factsFor({ ...spec, mounts: [] }, cgroup.membership));
  const bound: Record<string, number> = { sandbox, ...stdio };
  bindCgroup(bound, cgroup, opened);
  const control = bindControl(bound, opened);
  const kept = Object.entries(bound).flatMap(([name, fd]) =>
    fd < 0 || name === "owner" || name.startsWith("control-") || name.startsWith("control+") ? [] : [fd],
  );
  const image = opened.add(
    sys.sealedFile("tsbox-join", sys.elfImage(new Program(plan, ARCH), bound, bound["control"])),
  );
  const stub = intoImage(image, kept);
  const program = new Program(stub.plan, ARCH);
  const arena = takeArena(program.size);
  try {
    program.write(arena.bytes, arena.view, arena.address, {}, -1);
    const at = { cloneArgs: program.offset(stub.cloneArgs), first: 0, pidfd: program.offset(stub.pidfd) };
    return { ...clone(arena, at), control, plan, release: () => retire(arena, program.offset(stub.inUse)) };
  } catch (error) {
    sys.close(control);
    idle.push(arena);
    throw error;
  }
}

function clone(arena: Arena, at: { cloneArgs: number; first: number; pidfd: number }): { pid: number; pidfd: number } {
  const pid = sys.spawnProgram(arena.address, at.first, arena.address + at.cloneArgs, CLONE_ARGS_BYTES);
  if (pid < 0) throw cloneError(-pid);
  return { pid, pidfd: arena.view.getInt32(at.pidfd, true) };
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

interface HostPath {
  slot: string;
  path: string;
  recursive: boolean;
  /** Files there look owned as they do to the owner. */
  idMapped: boolean;
}

/** What the owner opens for the child. */
function hostPaths(spec: Spec, beside: Beside): HostPath[] {
  const paths = spec.mounts.flatMap(({ type, source = "", options = [] }, index): HostPath[] => {
    if (type !== "bind") return [];
    return [{ slot: mountSlot(index), path: source, recursive: options.includes("rbind"), idMapped: options.includes("idmap") }];
  });
  if (beside.root.kind !== "tmpfs") paths.push({ slot: "rootfs", path: spec.root.path, recursive: true, idMapped: true });
  return paths;
}

function writeIdMaps(pid: number, spec: Spec, privileged: boolean, idMapped: number[]): void {
  const write = (file: string, text: string) => {
    const result = sys.writeKernelFile(`/proc/${pid}/${file}`, text);
    if (result < 0) throw idMapError(file, -result);
  };
  const lines = (maps: IdMapping[] = []) => maps.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
  // an ordinary user may map its group only once setgroups(2) is given up. @see user_namespaces(7)
  if (!privileged) write("setgroups", "deny");
  write("uid_map", lines(spec.linux.uidMappings));
  write("gid_map", lines(spec.linux.gidMappings));
  if (idMapped.length === 0) return;
  using opened = new Descriptors();
  const namespace = opened.add(sys.open(`/proc/${pid}/ns/user`, sys.O_RDONLY));
  for (const fd of idMapped) {
    const result = sys.mapMountIds(fd, namespace);
    if (result < 0) throw mountIdsError(-result);
  }
}

const CLONE_ARGS_BYTES = 88;
const ARENA_BYTES = 256 * 1024;
const idle: Arena[] = [];

function takeArena(size: number): Arena {
  if (size > ARENA_BYTES) return sys.mapArena(Math.ceil(size / 4096) * 4096);
  return idle.pop() ?? sys.mapArena(ARENA_BYTES);
}

/** @param inUse offset of the words that the kernel clears when a process has executed something else or is gone */
function retire(arena: Arena, inUse: number, turn = 0): void {
  if (arena.view.getUint32(inUse, true) !== 0 || arena.view.getUint32(inUse + 8, true) !== 0) {
    // a command that could not be cloned never clears its word: then the memory is given up
    if (turn < 100) setTimeout(() => retire(arena, inUse, turn + 1), 10).unref();
  } else if (arena.size > ARENA_BYTES) sys.unmapArena(arena);
  else idle.push(arena);
}

/** The few calls before the image: it gets the descriptors that it knows by number. */
function intoImage(image: number, kept: number[]) {
  const { buffer, cstring, named, stringArray, words } = sys;
  const inUse = words("in use", 1, 0);
  const pidfd = buffer("pidfd", 8);
  const [CLONE_VM, CLONE_PIDFD, CLEARTID, CLEAR_SIGHAND] = [0x100, 0x1000, 0x200000, 0x100000000];
  const [SIGCHLD, STACK_BYTES] = [17, 8192];
  const cloneArgs = words(
    "clone_args",
    CLONE_VM + CLONE_PIDFD + CLEARTID + CLEAR_SIGHAND,
    0,
    0,
    0,
    SIGCHLD,
    0,
    STACK_BYTES,
    0,
    0,
    0,
    0,
  );
  cloneArgs.pointers = [
    { offset: 8, to: pidfd },
    { offset: 16, to: inUse },
    { offset: 40, to: buffer("stack", STACK_BYTES, 16) },
  ];
  const plan: Plan = [
    {
      action: "execute the image that joins the sandbox",
      ops: [
        ...kept.map((fd): sys.Op => ({ call: "fcntl", args: [fd, named("F_SETFD", 2), 0] })),
        {
          call: "execveat",
          args: [image, cstring(""), stringArray(["tsbox-join"]), stringArray([]), named("AT_EMPTY_PATH", 0x1000)],
        },
        // never reached: it places the data
        { call: "fail", args: [cloneArgs] },
      ],
    },
  ];
  return { plan, cloneArgs, inUse, pidfd };
}
