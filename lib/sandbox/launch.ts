/**
 * Performs a sandbox's plan: memory, descriptors, the clone, the id maps; and tells a failed step as an error.
 * @module
 */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import * as sys from "../../syscalls/index.ts";
import { ARCH, TsboxError, type Arena, type Plan } from "../../syscalls/index.ts";
import { compile, initPlan, type Beside, type Facts, type SandboxPlan } from "../plan/index.ts";
import type { IdMapping, Spec } from "../spec/index.ts";

/** Descriptors for the command; -1 is /dev/null. They stay the caller's. */
export interface Stdio {
  stdin: number;
  stdout: number;
  stderr: number;
}

/** The first process of a sandbox, as its owner sees it. */
export interface Launched {
  /** Pid of init on the host. */
  pid: number;
  /** The owner's end of init's socket. */
  control: number;
  plan: Plan;
  /** Gives the memory of the plan back; call it when init is gone. */
  release(): void;
}

const ARENA_BYTES = 256 * 1024;
const idle: Arena[] = [];
const images = new Map<0 | 2, number>();

function initImage(command: 0 | 2): number {
  let fd = images.get(command);
  if (fd === undefined) {
    fd = sys.sealedFile("tsbox-init", sys.elfImage(new sys.Program(initPlan(command, ARCH), ARCH)));
    images.set(command, fd);
  }
  return fd;
}

const kernelPathKinds = new Map<string, "file" | "directory" | undefined>();

/** What the machine is like, as far as this spec needs to know. */
export function factsFor(spec: Spec, joins: number): Facts {
  const kernelPaths = new Map<string, "file" | "directory">();
  for (const path of [...(spec.linux.maskedPaths ?? []), ...(spec.linux.readonlyPaths ?? [])]) {
    if (!kernelPathKinds.has(path)) kernelPathKinds.set(path, existsSync(path) ? kindOf(path) : undefined);
    const kind = kernelPathKinds.get(path);
    if (kind) kernelPaths.set(path, kind);
  }
  const binds = spec.mounts.filter((m) => m.type === "bind");
  return {
    arch: ARCH,
    privileged: process.geteuid?.() === 0,
    sources: new Map(binds.map((m) => [m.source ?? "", kindOf(m.source ?? "")])),
    kernelPaths,
    joins,
  };
}

const kindOf = (path: string): "file" | "directory" => (statSync(path).isDirectory() ? "directory" : "file");

/** @throws TsboxError of any code: nothing is left behind */
export function launch(spec: Spec, beside: Beside, stdio: Stdio, cgroup: { joins: number[]; into?: number }): Launched {
  const facts = factsFor(spec, cgroup.joins.length);
  const { plan, cloneArgs, inUse } = compile(spec, beside, facts);
  const program = new sys.Program(plan, ARCH);
  const pidNamespace = spec.linux.namespaces.some((n) => n.type === "pid");
  const mapped = spec.linux.uidMappings !== undefined;
  const opened: number[] = [];
  const arena = takeArena(program.size);
  let pid = -1;
  try {
    const bound: Record<string, number> = { init: initImage(pidNamespace ? 2 : 0), ...stdio };
    cgroup.joins.forEach((fd, i) => (bound[`cgroup${i}`] = fd));
    const idMapped: number[] = [];
    if (facts.privileged) {
      for (const [path, writable] of hostPaths(spec, beside)) {
        const fd = sys.openTree(path, true);
        opened.push(fd);
        bound[`source:${path}`] = fd;
        if (mapped && writable) idMapped.push(fd);
      }
    }
    const [control, childEnd] = sys.socketPair();
    opened.push(childEnd);
    bound["control"] = childEnd;
    try {
      program.write(arena.bytes, arena.view, arena.address, bound, childEnd);
      if (cgroup.into !== undefined) {
        const at = program.offset(cloneArgs);
        arena.view.setBigUint64(at, arena.view.getBigUint64(at, true) | 0x200000000n, true);
        arena.view.setBigUint64(at + 80, BigInt(cgroup.into), true);
      }
      pid = sys.spawnProgram(arena.address, program.label("first"), arena.address + program.offset(cloneArgs), 88);
      if (pid < 0) throw cloneError(-pid);
      if (mapped) writeIdMaps(pid, spec, facts.privileged, idMapped);
      sys.send(control, new Uint8Array(1));
    } catch (error) {
      sys.close(control); // the child reads end of file, and ends
      if (pid > 0) while (!sys.reap(pid));
      throw error;
    }
    return { pid, control, plan, release: () => retire(arena, program, inUse) };
  } catch (error) {
    idle.push(arena);
    throw error;
  } finally {
    for (const fd of opened) sys.close(fd);
  }
}

/** Paths that the owner opens for the child, and whether files there should look as they do to the owner. */
function hostPaths(spec: Spec, beside: Beside): [path: string, idMapped: boolean][] {
  const paths = new Map<string, boolean>();
  if (beside.root.kind !== "tmpfs") paths.set(spec.root.path, true);
  const system = beside.root.kind === "tmpfs";
  for (const mount of spec.mounts) {
    // the host's own directories are seen as a stranger sees them
    if (mount.type === "bind") paths.set(mount.source ?? "", !(system && mount.source === mount.destination));
  }
  return [...paths];
}

function writeIdMaps(pid: number, spec: Spec, privileged: boolean, idMapped: number[]): void {
  const lines = (maps: IdMapping[] = []) => maps.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
  try {
    // an ordinary user may map its group only once setgroups(2) is given up. @see user_namespaces(7)
    if (!privileged) writeFileSync(`/proc/${pid}/setgroups`, "deny");
    writeFileSync(`/proc/${pid}/uid_map`, lines(spec.linux.uidMappings));
    writeFileSync(`/proc/${pid}/gid_map`, lines(spec.linux.gidMappings));
  } catch (cause) {
    throw new TsboxError("write the id maps of the user namespace", { code: "permission_denied", cause });
  }
  if (idMapped.length === 0) return;
  const namespace = sys.open(`/proc/${pid}/ns/user`, 0);
  try {
    const MOUNT_ATTR_IDMAP = 0x100000;
    for (const fd of idMapped) {
      const result = sys.mountSetattr(fd, MOUNT_ATTR_IDMAP, namespace);
      if (result < 0) {
        throw new TsboxError(`map the ids of a mount: ${sys.errnoName(-result)}`, {
          code: "mount_failed",
          errno: -result,
          syscall: "mount_setattr",
          hint: "the file system of the root or of a bind mount has no id-mapped mounts (since Linux 5.12); share the host's user namespace",
        });
      }
    }
  } finally {
    sys.close(namespace);
  }
}

function cloneError(errno: number): TsboxError {
  const name = sys.errnoName(errno);
  const sysctl = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
  const apparmor = existsSync(sysctl) && readFileSync(sysctl, "utf8").trim() === "1";
  const hint =
    name === "EPERM"
      ? apparmor
        ? "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for this program"
        : "the host does not let this user make user namespaces"
      : name === "ENOSPC"
        ? "the limit on namespaces is reached: sysctl user.max_user_namespaces"
        : name === "ENOSYS"
          ? "clone3 exists since Linux 5.3"
          : undefined;
  const code = name === "EPERM" ? "permission_denied" : name === "ENOSYS" ? "unsupported" : "system";
  return new TsboxError(`make the sandbox's namespaces: ${name}`, {
    code,
    errno,
    syscall: "clone3",
    ...(hint ? { hint } : {}),
  });
}

function takeArena(size: number): Arena {
  if (size > ARENA_BYTES) return sys.mapArena(Math.ceil(size / 4096) * 4096);
  return idle.pop() ?? sys.mapArena(ARENA_BYTES);
}

function retire(arena: Arena, program: sys.Program, inUse: sys.Data): void {
  const at = program.offset(inUse);
  // the kernel clears each word when its process has executed something else or is gone
  if (arena.view.getBigUint64(at, true) !== 0n || arena.view.getBigUint64(at + 8, true) !== 0n) {
    setTimeout(() => retire(arena, program, inUse), 1);
  } else if (arena.size > ARENA_BYTES) sys.unmapArena(arena);
  else idle.push(arena);
}

/** The failure that the child reported, as an error that names the step. */
export function failureOf(report: Uint8Array, plan: Plan): TsboxError {
  const found = sys.readReport(new DataView(report.buffer, report.byteOffset, report.byteLength), plan);
  if (!found) return new TsboxError("start the sandbox: it died before it could say why", { code: "system" });
  const { step, errno, call } = found;
  const name = sys.errnoName(errno);
  const executing = step.action.startsWith("execute ");
  const code = executing
    ? name === "ENOENT" || name === "ENOTDIR"
      ? "command_not_found"
      : name === "E2BIG"
        ? "argument_too_long"
        : "command_not_executable"
    : step.action.startsWith("mount ") || step.action.startsWith("open ") || step.action.startsWith("make a ")
      ? "mount_failed"
      : "system";
  const known = step.hint?.(name as keyof typeof sys.ERRNO);
  const hint = known ?? EXEC_HINTS[code];
  return new TsboxError(`${step.action}: ${name}`, {
    code,
    errno,
    syscall: call === "fail" ? "execve" : call,
    step: step.action,
    ...(step.path ? { path: step.path } : {}),
    ...(hint ? { hint } : {}),
  });
}

const EXEC_HINTS: Record<string, string> = {
  command_not_found: "the command, or the interpreter or loader that it names, is not in the root filesystem",
  command_not_executable: "the file needs execute permission and a format that this machine runs",
  argument_too_long: "one argument may have 128 KiB, all of them and the environment 2 MiB; pass the data on stdin",
};
