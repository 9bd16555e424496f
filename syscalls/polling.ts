/**
 * Waiting for many descriptors at once. @see epoll(7), eventfd(2)
 * @module
 */
import { close } from "./calls.ts";
import { readKernelFile, statFile } from "./files.ts";
import { mapArena, syscall, systemError, trySyscall, unmapArena, type Arena } from "./kernel.ts";
import { ARCH } from "./numbers.ts";
import { scratch } from "./scratch.ts";
import { EPOLL_EVENT } from "./structs.ts";

export const [EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET] = [1, 4, 8, 0x10, 0x2000, 2 ** 31];

const [EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLL_CLOEXEC] = [1, 2, 3, 0o2000000];
const EVENT = EPOLL_EVENT[ARCH];
const DATA = EVENT.fields.data[0];
const EINTR = 4;

/** An epoll instance, and memory for what it tells. */
export class Epoll implements Disposable {
  readonly fd: number;
  readonly #arena: Arena;
  readonly #capacity: number;

  /** @param capacity events that are told at a time */
  constructor(capacity = 256) {
    this.fd = syscall("make an epoll instance", "epoll_create1", EPOLL_CLOEXEC);
    this.#capacity = capacity;
    this.#arena = mapArena(capacity * EVENT.size);
  }

  [Symbol.dispose](): void {
    close(this.fd);
    unmapArena(this.#arena);
  }

  /** `int epoll_ctl(…, EPOLL_CTL_ADD, fd, …)` @param mark comes back with each event: up to 32 bits @see epoll_ctl(2) */
  add(fd: number, events: number, mark: number): void {
    const result = this.#control(EPOLL_CTL_ADD, fd, events, mark);
    if (result < 0) throw systemError("wait for a descriptor", "epoll_ctl", -result);
  }

  /** `int epoll_ctl(…, EPOLL_CTL_MOD, fd, …)` @see epoll_ctl(2) */
  modify(fd: number, events: number, mark: number): void {
    const result = this.#control(EPOLL_CTL_MOD, fd, events, mark);
    if (result < 0) throw systemError("wait for a descriptor", "epoll_ctl", -result);
  }

  /** `int epoll_ctl(…, EPOLL_CTL_DEL, fd, NULL)` @see epoll_ctl(2) */
  remove(fd: number): void {
    trySyscall("epoll_ctl", this.fd, EPOLL_CTL_DEL, fd, 0);
  }

  #control(how: number, fd: number, events: number, mark: number): number {
    scratch.view.setUint32(0, events, true);
    scratch.view.setUint32(DATA, fd, true);
    scratch.view.setUint32(DATA + 4, mark, true);
    return trySyscall("epoll_ctl", this.fd, how, fd, scratch.address);
  }

  /**
   * `int epoll_pwait(…, int timeout, NULL)`: stands still until something is there to be done.
   * @param timeoutMs -1: however long @returns how many events; undefined where a signal has interrupted it
   */
  wait(timeoutMs: number): number | undefined {
    const found = trySyscall("epoll_pwait", this.fd, this.#arena.address, this.#capacity, timeoutMs, 0, 8);
    if (found === -EINTR) return undefined;
    if (found < 0) throw systemError("wait for descriptors", "epoll_pwait", -found);
    return found;
  }

  /** Of the event with this index, until the next {@link wait}. */
  events = (index: number): number => this.#arena.view.getUint32(index * EVENT.size, true);
  descriptor = (index: number): number => this.#arena.view.getUint32(index * EVENT.size + DATA, true);
  mark = (index: number): number => this.#arena.view.getUint32(index * EVENT.size + DATA + 4, true);
}

/** `int eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)` @see eventfd(2) */
export function eventCounter(): number {
  const EFD_CLOEXEC_NONBLOCK = 0o2004000;
  return syscall("make an event counter", "eventfd2", 0, EFD_CLOEXEC_NONBLOCK);
}

/** Adds one; from any thread. */
export function raiseCounter(fd: number): void {
  scratch.view.setBigUint64(0, 1n, true);
  trySyscall("write", fd, scratch.address, 8);
}

/** Back to zero. */
export function clearCounter(fd: number): void {
  trySyscall("read", fd, scratch.address, 8);
}

/** An epoll instance for which nobody waits: the kernel keeps a list of open descriptors; what is closed is not in it any more. */
export const descriptorList = (): number => syscall("make an epoll instance", "epoll_create1", EPOLL_CLOEXEC);

/** Once is enough; from any thread. */
export function enlist(list: number, fd: number): void {
  scratch.view.setUint32(0, 0, true);
  trySyscall("epoll_ctl", list, EPOLL_CTL_ADD, fd, scratch.address);
}

/**
 * What an epoll instance has been told of, and is open. A file that another process has as well stays listed when it is closed
 * here: what its number stands for now is not it.
 * @see proc_pid_fdinfo(5)
 */
export function enlisted(list: number): number[] {
  const lines = (readKernelFile(`/proc/self/fdinfo/${list}`) ?? "").matchAll(/^tfd: *(\d+) .* ino:([\da-f]+)/gm);
  const isStill = ([, fd, inode]: RegExpExecArray) => statFile(`/proc/self/fd/${fd}`)?.inode === BigInt(`0x${inode}`);
  return [...lines].filter(isStill).map(([, fd]) => Number(fd));
}
