/**
 * Whose a control group is. Its name says so, `tsbox-NAMESPACE-PID-START-NUMBER`, and so it is found again after its
 * owner was killed: nothing else has to be recorded.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { groupsBelow } from "./tree.ts";

const NAME = /^tsbox-(\d+)-(\d+)-(\d+)-\d+$/;
const SIGKILL = 9;
const EBUSY = -16;
// every worker of a program counts for itself, and whoever has loaded this twice: they begin where no other one does
let made = Math.floor(Math.random() * 2 ** 48);
let owner: string | undefined;

/** A name that no other control group has. */
export function nextName(): string {
  owner ??= `tsbox-${pidNamespace()}-${process.pid}-${startTime(process.pid) ?? 0}`;
  return `${owner}-${++made}`;
}

const SWEEP_MS = 1000;
const swept = new Map<string, number>();

/**
 * Removes what killed owners left below a directory; not more often than once in a second, and not before a sandbox
 * that is about to start.
 */
export function sweepLater(directory: string): void {
  const now = performance.now();
  if (now - (swept.get(directory) ?? -Infinity) < SWEEP_MS) return;
  swept.set(directory, now);
  setImmediate(() => sweep(directory));
}

function sweep(directory: string): void {
  for (const name of sys.namesIn(directory)) {
    if (isAbandoned(name)) removeAbandoned(`${directory}/${name}`);
  }
}

/** Owners in other pid namespaces cannot be seen from here, so theirs is left alone. */
function isAbandoned(name: string): boolean {
  const [, namespace, pid, start] = NAME.exec(name) ?? [];
  if (namespace === undefined || namespace !== pidNamespace()) return false;
  if (sys.readLink("/proc/self") !== String(process.pid)) return false;
  return startTime(Number(pid)) !== start;
}

function removeAbandoned(directory: string): void {
  killAll(directory);
  void removeWhenEmpty([directory]);
}

function killAll(directory: string): void {
  if (sys.writeKernelFile(`${directory}/cgroup.kill`, "1") >= 0) return;
  const members = () => (sys.readKernelFile(`${directory}/cgroup.procs`) ?? "").split("\n").filter(Boolean);
  for (const pid of members()) {
    const pidfd = sys.trySyscall("pidfd_open", Number(pid), 0);
    if (pidfd < 0) continue;
    // the number may have gone to another process before it was opened
    if (members().includes(pid)) sys.sendSignal(pidfd, SIGKILL);
    sys.close(pidfd);
  }
  // what is frozen in version 1 dies when it goes on
  sys.writeKernelFile(`${directory}/freezer.state`, "THAWED");
}

const alive = new Set<string>();
let listens = false;

/** Until it is removed, a group goes with this process where that ends by itself. */
export function removeAtExit(directories: string[]): void {
  if (!listens) process.once("exit", removeAll);
  listens = true;
  for (const directory of directories) alive.add(directory);
}

function removeAll(): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (const directory of alive) killAll(directory);
  // those below others are younger
  for (const directory of [...alive].toReversed()) {
    for (let turn = 0; sys.removeDirectory(directory) === EBUSY && turn < 200; turn++) {
      if (turn > 0) removeBelow(directory);
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

/** So many looks later, what keeps a group is not that its last process is on its way out. */
const SOON = 20;

/** Groups below: what was frozen, and what a sandbox made that may write to the control groups. */
function removeBelow(directory: string): void {
  for (const { above, name, path } of groupsBelow(directory)) {
    killAll(path);
    above.removeDirectory(name);
  }
}

/** Removes control groups as soon as the kernel has let go of their processes, in the order given. */
export async function removeWhenEmpty(directories: string[]): Promise<void> {
  for (const directory of directories) {
    // at once, where that is possible: whoever is told an error by then finds nothing of it
    if (sys.removeDirectory(directory) === EBUSY) await removeGroup(directory);
    alive.delete(directory);
  }
}

/** @param clear removes those below it @returns 0, or -errno where it stays */
export async function removeGroup(directory: string, clear = removeBelow): Promise<number> {
  let result = sys.removeDirectory(directory);
  for (let turn = 0; result === EBUSY && turn < 500; turn++) {
    if (turn >= SOON) clear(directory);
    await new Promise((resolve) => (turn < SOON ? setImmediate(resolve) : setTimeout(resolve, 10)));
    result = sys.removeDirectory(directory);
  }
  return result;
}

const pidNamespace = (): string => String(sys.statFile("/proc/self/ns/pid")?.inode);

/** When a process started, in clock ticks since boot; undefined where there is none. @see proc_pid_stat(5) */
function startTime(pid: number): string | undefined {
  const stat = sys.readKernelFile(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}
