/**
 * System calls as functions: the first line of each is the call. Descriptors are close-on-exec; a failure is a
 * {@link TsboxError}, except where a negative errno is said to be the answer.
 * @module
 */
import { TsboxError } from "./error.ts";
import { syscall, systemError, trySyscall } from "./kernel.ts";
import { path, PATH_BYTES, scratch } from "./scratch.ts";
import { fillStruct, offsetOf, struct, STRUCTS } from "./structs.ts";

const AT_FDCWD = -100;
const [O_NONBLOCK, O_CLOEXEC] = [0o4000, 0o2000000];
const EINVAL = 22;

/** What was opened for the length of a block: `using opened = new Descriptors()`. */
export class Descriptors {
  readonly #open: number[] = [];

  add(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.splice(0)) close(fd);
  }
}

/** `int close(int fd)` @see close(2) */
export function close(fd: number): void {
  trySyscall("close", fd);
}

/** `int pipe2(int fds[2], int flags)` @see pipe2(2) */
export function pipe(): [read: number, write: number] {
  syscall("make a pipe", "pipe2", scratch.address, O_CLOEXEC);
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}

/**
 * A pipe for a process with ids of its own, to whom `/dev/stdout` would otherwise be somebody else's file: opening it
 * again is opening that. It has no name but below the `/proc/PID/fd` of who has it.
 */
export function stdioPipe(): [read: number, write: number] {
  const ends = pipe();
  syscall("let a pipe be opened again", "fchmod", ends[0], 0o666);
  return ends;
}

/**
 * The same for a pipe of the caller's, which others have as well: it may be opened for what it is there for alone. What
 * is no pipe, one with a name and one of somebody else stay as they are.
 */
export function letReopen(fd: number, use: "read" | "write"): void {
  const PIPEFS_MAGIC = 0x50495045n;
  if (trySyscall("fstatfs", fd, scratch.address) < 0 || scratch.view.getBigInt64(0, true) !== PIPEFS_MAGIC) return;
  trySyscall("fchmod", fd, use === "read" ? 0o644 : 0o622);
}

/** `int fcntl(int fd, F_SETPIPE_SZ, int size)`: 0 or more, or -errno where the user may not have so much. @see F_SETPIPE_SZ(2const) */
export function resizePipe(fd: number, bytes: number): number {
  const F_SETPIPE_SZ = 1031;
  return trySyscall("fcntl", fd, F_SETPIPE_SZ, bytes);
}

/** `int socketpair(AF_UNIX, SOCK_STREAM, 0, int sv[2])` @see socketpair(2) */
export function socketPair(): [number, number] {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  syscall("make a socket pair", "socketpair", AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, scratch.address);
  return [aboveStdio(scratch.view.getInt32(0, true)), aboveStdio(scratch.view.getInt32(4, true))];
}

/** Where the caller's own stdin, stdout or stderr is closed, a new descriptor would take its number. */
function aboveStdio(fd: number): number {
  if (fd > 2) return fd;
  const F_DUPFD_CLOEXEC = 1030;
  const moved = syscall("move a descriptor", "fcntl", fd, F_DUPFD_CLOEXEC, 3);
  close(fd);
  return moved;
}

/** `ssize_t write(int fd, const void *buf, size_t count)`: all bytes, or -errno. @see write(2) */
export function write(fd: number, bytes: Uint8Array): number {
  let done = 0;
  while (done < bytes.length) {
    const part = bytes.subarray(done, done + scratch.size);
    scratch.bytes.set(part);
    const n = trySyscall("write", fd, scratch.address, part.length);
    if (n < 0) return n;
    done += n;
  }
  return done;
}

/** `ssize_t write(int fd, const void *buf, size_t count)`: up to 64 KiB, how many it took, or -errno. @see write(2) */
export function writeNow(fd: number, bytes: Uint8Array): number {
  const part = bytes.subarray(0, scratch.size);
  scratch.bytes.set(part);
  return trySyscall("write", fd, scratch.address, part.length);
}

/**
 * `int prlimit64(0, int resource, const struct rlimit64 *new, struct rlimit64 *old)`: a hard limit of this process that
 * is at least so high, where this may be. @see prlimit(2)
 */
export function raiseHardLimit(resource: number, hard: bigint): void {
  if (trySyscall("prlimit64", 0, resource, 0, scratch.address) < 0) return;
  const at = offsetOf("rlimit64", "rlim_max");
  if (scratch.view.getBigUint64(at, true) >= hard) return;
  scratch.view.setBigUint64(at, hard, true);
  trySyscall("prlimit64", 0, resource, scratch.address, 0);
}

/** `int prlimit64(0, int resource, NULL, struct rlimit64 *old)`: the soft limit of this process. @see prlimit(2) */
export function softLimit(resource: number): number {
  syscall("read a limit", "prlimit64", 0, resource, 0, scratch.address);
  return Number(scratch.view.getBigUint64(offsetOf("rlimit64", "rlim_cur"), true));
}

/** `int prlimit64(0, int resource, const struct rlimit64 *new, NULL)`: the soft limit becomes the hard one. @see prlimit(2) */
export function raiseSoftLimit(resource: number): void {
  if (trySyscall("prlimit64", 0, resource, 0, scratch.address) < 0) return;
  const [soft, hard] = [offsetOf("rlimit64", "rlim_cur"), offsetOf("rlimit64", "rlim_max")];
  scratch.view.setBigUint64(soft, scratch.view.getBigUint64(hard, true), true);
  trySyscall("prlimit64", 0, resource, scratch.address, 0);
}

/** `ssize_t sendto(int fd, …, MSG_NOSIGNAL | MSG_DONTWAIT)`: bytes sent, or -errno. @see send(2) */
export function send(fd: number, bytes: Uint8Array): number {
  scratch.bytes.set(bytes);
  const MSG_NOSIGNAL_DONTWAIT = 0x4000 | 0x40;
  return trySyscall("sendto", fd, scratch.address, bytes.length, MSG_NOSIGNAL_DONTWAIT);
}

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_PATH = 0o10000000;
export const O_DIRECTORY = process.arch === "arm64" ? 0o40000 : 0o200000;

/** `int openat(AT_FDCWD, const char *path, int flags, mode_t mode)` @see openat(2) */
export function open(file: string, flags: number, mode = 0): number {
  return syscall(`open "${file}"`, "openat", AT_FDCWD, path(file), flags | O_CLOEXEC, mode);
}

/** The same, or -errno. */
export const tryOpen = (file: string, flags: number): number =>
  trySyscall("openat", AT_FDCWD, path(file), flags | O_CLOEXEC, 0);

/** `int mknodat(AT_FDCWD, const char *path, S_IFIFO | 0600, 0)`; one that is there is left as it is. @see mknod(2), fifo(7) */
export function makeFifo(file: string): void {
  const [S_IFIFO, EEXIST] = [0o010000, 17];
  const result = trySyscall("mknodat", AT_FDCWD, path(file), S_IFIFO | 0o600, 0);
  if (result < 0 && result !== -EEXIST) throw systemError(`make the FIFO "${file}"`, "mknodat", -result);
}

/** `int fcntl(int fd, F_DUPFD_CLOEXEC, 3)`: another descriptor of the same. @see F_DUPFD_CLOEXEC(2const) */
export const duplicate = (fd: number): number => syscall("copy a descriptor", "fcntl", fd, 1030, 3);

/** `int fcntl(int fd, F_DUPFD, int from)`: another descriptor, not below a number, which an execve keeps. @see F_DUPFD(2const) */
export function keptDescriptor(fd: number, from: number): number {
  const F_DUPFD = 0;
  return syscall("keep a descriptor", "fcntl", fd, F_DUPFD, from);
}

/**
 * `int execveat(int fd, "", [NULL], [NULL], AT_EMPTY_PATH)`: this process becomes another program, all threads of it.
 * @see execveat(2)
 */
export function becomeImage(fd: number): never {
  const AT_EMPTY_PATH = 0x1000;
  const none = scratch.size - 8;
  scratch.view.setBigUint64(none, 0n, true);
  const list = scratch.address + none;
  const result = trySyscall("execveat", fd, path(""), list, list, AT_EMPTY_PATH);
  throw systemError("become another program", "execveat", -result);
}

/**
 * `int fcntl(int fd, F_OFD_SETLK, struct flock *lock)`: locks one byte of an open file, or gives it back; false where
 * another open file has it. @see fcntl_locking(2)
 */
export function lockByte(fd: number, at: number, locked: boolean): boolean {
  const [F_OFD_SETLK, F_WRLCK, F_UNLCK] = [37, 1, 2];
  const range = { l_type: locked ? F_WRLCK : F_UNLCK, l_whence: 0, l_start: at, l_len: 1, l_pid: 0 };
  fillStruct(scratch.view, 0, "flock", range);
  const result = trySyscall("fcntl", fd, F_OFD_SETLK, scratch.address);
  if (result < 0 && result !== -EAGAIN) throw systemError("lock a byte of a file", "fcntl", -result);
  return result === 0;
}

/**
 * `long openat2(int dirfd, const char *path, {flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS})`: a path inside a
 * directory that somebody else filled; no symlink leads out of it. -errno on failure. @see openat2(2)
 */
export function openInRoot(root: number, file: string, flags = O_NONBLOCK): number {
  const how = scratch.address + PATH_BYTES;
  const [RESOLVE_NO_MAGICLINKS, RESOLVE_IN_ROOT] = [0x02, 0x10];
  scratch.view.setBigUint64(PATH_BYTES, BigInt(O_CLOEXEC | flags), true);
  scratch.view.setBigUint64(PATH_BYTES + 8, 0n, true);
  scratch.view.setBigUint64(PATH_BYTES + 16, BigInt(RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT), true);
  return trySyscall("openat2", root, path(file), how, 24);
}

/**
 * `int open_tree(AT_FDCWD, const char *path, OPEN_TREE_CLONE)`, `mount_setattr` with MOUNT_ATTR_RDONLY, _NOSUID, _NODEV,
 * _NOEXEC and _NOATIME: a directory as a mount of its own, without what is mounted in it, where nothing is written and no
 * device opened. -errno where this may not be, or the kernel is older than 5.12. @see open_tree(2), mount_setattr(2)
 */
export function cloneTree(file: string): number {
  const [OPEN_TREE_CLONE, AT_EMPTY_PATH, ATTRIBUTES, MOUNT_ATTR__ATIME] = [1, 0x1000, 0x1f, 0x70];
  const fd = trySyscall("open_tree", AT_FDCWD, path(file), OPEN_TREE_CLONE | O_CLOEXEC);
  if (fd < 0) return fd;
  const attr = scratch.address + PATH_BYTES;
  fillStruct(scratch.view, PATH_BYTES, "mount_attr", {
    attr_set: ATTRIBUTES,
    attr_clr: MOUNT_ATTR__ATIME,
    propagation: 0,
    userns_fd: 0,
  });
  const result = trySyscall("mount_setattr", fd, path(""), AT_EMPTY_PATH, attr, STRUCTS.mount_attr.size);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** `ssize_t read(int fd, void *buf, size_t count)`: up to 64 KiB, or -errno. @see read(2) */
export function read(fd: number, limit = scratch.size): Uint8Array | number {
  const n = trySyscall("read", fd, scratch.address, Math.min(limit, scratch.size));
  return n < 0 ? n : scratch.bytes.slice(0, n);
}

const EAGAIN = 11;

/**
 * `ssize_t preadv2(int fd, const struct iovec *iov, 1, -1, RWF_NOWAIT)`: what is in a pipe, up to 64 KiB, without
 * waiting; empty at its end, undefined where there is nothing yet. @see preadv2(2)
 */
export function readNow(fd: number): Uint8Array | undefined {
  const RWF_NOWAIT = 8;
  const iovec = scratch.size - 16;
  scratch.view.setBigUint64(iovec, BigInt(scratch.address), true);
  scratch.view.setBigUint64(iovec + 8, BigInt(iovec), true);
  const n = trySyscall("preadv2", fd, scratch.address + iovec, 1, -1, -1, RWF_NOWAIT);
  if (n === -EAGAIN) return undefined;
  if (n < 0) throw systemError("read a pipe", "preadv2", -n);
  return scratch.bytes.slice(0, n);
}

/** `int ioctl(int fd, FIONREAD, int *count)`: bytes that can be read from a pipe. @see FIONREAD(2const) */
export function bytesWaiting(fd: number): number {
  const FIONREAD = 0x541b;
  scratch.view.setInt32(0, 0, true);
  trySyscall("ioctl", fd, FIONREAD, scratch.address);
  return scratch.view.getInt32(0, true);
}

/** `int ppoll({pidfd, POLLIN}, 1, timeout)`: stands still until a process has ended, for so long at most. @see pidfd_open(2) */
export function waitBriefly(pidfd: number, timeoutUs: number): void {
  const POLLIN = 1;
  scratch.view.setInt32(0, pidfd, true);
  scratch.view.setInt32(4, POLLIN, true);
  scratch.view.setBigInt64(8, BigInt(Math.floor(timeoutUs / 1e6)), true);
  scratch.view.setBigInt64(16, BigInt(Math.round((timeoutUs % 1e6) * 1000)), true);
  trySyscall("ppoll", scratch.address, 1, scratch.address + 8, 0, 8);
}

/** `int ppoll({fd, POLLOUT}, 1, 0)`: whether something can be written now. @see poll(2) */
export function takesMore(fd: number): boolean {
  const POLLOUT = 4;
  scratch.view.setInt32(0, fd, true);
  scratch.view.setInt32(4, POLLOUT, true);
  scratch.view.setBigInt64(8, 0n, true);
  scratch.view.setBigInt64(16, 0n, true);
  return trySyscall("ppoll", scratch.address, 1, scratch.address + 8, 0, 8) > 0;
}

/**
 * `pid_t wait4(pid_t pid, int *status, WNOHANG, NULL)`: the wait status of a child that has ended, which is reaped;
 * undefined while it runs. @see wait4(2)
 */
export function reap(pid: number): number | undefined {
  const WNOHANG = 1;
  const result = trySyscall("wait4", pid, scratch.address, WNOHANG);
  return result === pid ? scratch.view.getInt32(0, true) : result < 0 ? 0 : undefined;
}

/** `int waitid(P_ALL, 0, siginfo_t *infop, WEXITED | WNOHANG | WNOWAIT)`: a child that has ended, not reaped yet. @see waitid(2) */
export function endedChild(): number | undefined {
  const [P_ALL, WEXITED_WNOHANG_WNOWAIT, SI_PID] = [0, 0x01000005, 16];
  scratch.view.setInt32(SI_PID, 0, true);
  const result = trySyscall("waitid", P_ALL, 0, scratch.address, WEXITED_WNOHANG_WNOWAIT, 0);
  const pid = scratch.view.getInt32(SI_PID, true);
  // 0: there are children, and none has ended
  return result < 0 || pid === 0 ? undefined : pid;
}

/** `int pidfd_send_signal(int pidfd, int sig, NULL, 0)`: 0 or -errno. @see pidfd_send_signal(2) */
export function sendSignal(pidfd: number, signal: number): number {
  return trySyscall("pidfd_send_signal", pidfd, signal);
}

/** `int kill(-pgid, SIGKILL)`: the process group that a child which is not reaped yet was the leader of. @see kill(2) */
export function killGroup(pgid: number): void {
  trySyscall("kill", -pgid, 9);
}

/** `int pidfd_open(pid_t pid, 0)`: of a child that is not reaped yet. @see pidfd_open(2) */
export function openPidfd(pid: number): number {
  return syscall(`open process ${pid}`, "pidfd_open", pid, 0);
}

/**
 * `int memfd_create(const char *name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)`, filled and sealed.
 * @param mode without read permission, the kernel lets nobody look into a process of another user that executes it
 * @see memfd_create(2), ptrace(2) "Ptrace access mode checking"
 */
export function sealedFile(name: string, content: Uint8Array, mode = 0o777): number {
  const [MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_EXEC] = [1, 2, 16];
  let fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // MFD_EXEC: since Linux 6.3
  if (fd === -EINVAL) fd = trySyscall("memfd_create", path(name), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw systemError(`make a memory file "${name}"`, "memfd_create", -fd);
  const written = write(fd, content);
  if (written < 0) throw systemError(`fill the memory file "${name}"`, "write", -written);
  if (mode !== 0o777) syscall(`set the mode of the memory file "${name}"`, "fchmod", fd, mode);
  const [F_ADD_SEALS, ALL_SEALS] = [1033, 15];
  syscall(`seal the memory file "${name}"`, "fcntl", fd, F_ADD_SEALS, ALL_SEALS);
  return fd;
}

/** `int memfd_create(const char *name, MFD_CLOEXEC)`: empty, to be written. @see memfd_create(2) */
export const memoryFile = (name: string): number =>
  aboveStdio(syscall(`make a memory file "${name}"`, "memfd_create", path(name), 1));

let landlock: number | undefined;

/** `landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)`: 0 without Landlock. @see landlock_create_ruleset(2) */
export function landlockAbi(): number {
  const LANDLOCK_CREATE_RULESET_VERSION = 1;
  return (landlock ??= Math.max(0, trySyscall("landlock_create_ruleset", 0, 0, LANDLOCK_CREATE_RULESET_VERSION)));
}

/** `uid_t geteuid(void)` @see geteuid(2) */
export const effectiveUid = (): number => trySyscall("geteuid");

/** `gid_t getegid(void)` @see getegid(2) */
export const effectiveGid = (): number => trySyscall("getegid");

/** `ssize_t recvmsg(int fd, …, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)`: the descriptor that has been passed, or -errno. @see recvmsg(2) */
export function receiveDescriptor(socket: number): number {
  const [fd = -EINVAL, ...more] = receiveDescriptors(socket, 1);
  more.forEach(close);
  return fd;
}

/** The same of several in one message; -errno as the only one. @param most that are taken; the kernel closes the others */
export function receiveDescriptors(socket: number, most: number): number[] {
  const [iovec, byte, control] = [64, 96, 128];
  const [SOL_SOCKET, SCM_RIGHTS, MSG_FLAGS] = [1, 1, 0x40000000 | 0x40];
  const length = STRUCTS.cmsghdr.size + Math.ceil(most / 2) * 8;
  scratch.bytes.fill(0, 0, control + length);
  const word = (at: number, value: number) => scratch.view.setBigUint64(at, BigInt(value), true);
  word(offsetOf("msghdr", "msg_iov"), scratch.address + iovec);
  word(offsetOf("msghdr", "msg_iovlen"), 1);
  word(offsetOf("msghdr", "msg_control"), scratch.address + control);
  word(offsetOf("msghdr", "msg_controllen"), length);
  word(iovec + offsetOf("iovec", "iov_base"), scratch.address + byte);
  word(iovec + offsetOf("iovec", "iov_len"), 1);
  const n = trySyscall("recvmsg", socket, scratch.address, MSG_FLAGS);
  if (n < 0) return [n];
  const is = (field: "cmsg_level" | "cmsg_type", value: number) =>
    scratch.view.getInt32(control + offsetOf("cmsghdr", field), true) === value;
  if (!is("cmsg_level", SOL_SOCKET) || !is("cmsg_type", SCM_RIGHTS)) return [-EINVAL];
  const count = (scratch.view.getUint32(control, true) - STRUCTS.cmsghdr.size) / 4;
  return Array.from({ length: Math.min(count, length / 4) }, (_, index) =>
    scratch.view.getInt32(control + STRUCTS.cmsghdr.size + index * 4, true),
  );
}

const [SOCK_STREAM, SOCK_DGRAM] = [1, 2];

/** A new socket at an address. */
function unixSocket(action: string, file: string, call: "bind" | "connect", type = SOCK_STREAM): number {
  const [AF_UNIX, PATH_MAX] = [1, 107];
  const isAbstract = file.startsWith("@");
  const name = new TextEncoder().encode(isAbstract ? `\0${file.slice(1)}` : file);
  if (name.length > PATH_MAX)
    throw new TsboxError(`${action}: a socket's path has ${PATH_MAX} bytes at most`, { code: "invalid_option" });
  const fd = aboveStdio(syscall("make a socket", "socket", AF_UNIX, type | O_CLOEXEC, 0));
  scratch.bytes.fill(0, 0, 128);
  scratch.view.setUint16(0, AF_UNIX, true);
  scratch.bytes.set(name, 2);
  const result = trySyscall(call, fd, scratch.address, 2 + name.length + (isAbstract ? 0 : 1));
  if (result === 0) return fd;
  close(fd);
  throw systemError(action, call, -result);
}

/** `int connect(int fd, const struct sockaddr_un *addr, …)` of a new stream socket. @see unix(7) */
export const connectSocket = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect");

/** The same, which does not block, now or later: `EAGAIN` where too many wait to be accepted. */
export const connectSocketNow = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect", SOCK_STREAM | O_NONBLOCK);

/** `int listen(int fd, int backlog)` of a new stream socket in a directory, however long its path is. @see unix(7) */
export function listenIn(directory: number, name: string): number {
  const fd = unixSocket(`make the socket "${name}"`, `/proc/self/fd/${directory}/${name}`, "bind");
  syscall(`listen at the socket "${name}"`, "listen", fd, 16);
  return fd;
}

/** The same of a new datagram socket; an address that begins with `@` is an abstract one. @see unix(7) */
export const connectDatagrams = (file: string): number =>
  unixSocket(`connect to ${JSON.stringify(file)}`, file, "connect", SOCK_DGRAM);

/** `int bind(int fd, const struct sockaddr_un *addr, …)` of a new datagram socket in a directory. @see unix(7) */
export function bindDatagramsIn(directory: number, name: string, mode: number): number {
  const fd = unixSocket(`make the socket "${name}"`, `/proc/self/fd/${directory}/${name}`, "bind", SOCK_DGRAM);
  const result = trySyscall("fchmodat", directory, path(name), mode);
  if (result === 0) return fd;
  close(fd);
  throw systemError(`set the mode of the socket "${name}"`, "fchmodat", -result);
}

/** `ssize_t recvfrom(int fd, …, MSG_DONTWAIT)`: a datagram; undefined where there is none yet. @see recv(2) */
export function receiveNow(fd: number): Uint8Array | undefined {
  const MSG_DONTWAIT = 0x40;
  const n = trySyscall("recvfrom", fd, scratch.address, scratch.size, MSG_DONTWAIT);
  return n < 0 ? undefined : scratch.bytes.slice(0, n);
}

/** `ssize_t sendmsg(int fd, …, MSG_NOSIGNAL)`: bytes, and a descriptor with them; or -errno. @see sendmsg(2) */
export function sendDescriptor(socket: number, bytes: Uint8Array, fd: number): number {
  const [iovec, control, data] = [64, 128, 192];
  const [SOL_SOCKET, SCM_RIGHTS, MSG_NOSIGNAL] = [1, 1, 0x4000];
  scratch.bytes.fill(0, 0, data);
  const at = scratch.address;
  fillStruct(scratch.view, 0, "msghdr", {
    msg_iov: at + iovec,
    msg_iovlen: 1,
    msg_control: at + control,
    msg_controllen: STRUCTS.cmsghdr.size + 8,
  });
  fillStruct(scratch.view, iovec, "iovec", { iov_base: at + data, iov_len: bytes.length });
  const cmsg_len = STRUCTS.cmsghdr.size + 4;
  fillStruct(scratch.view, control, "cmsghdr", { cmsg_len, cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS });
  scratch.view.setInt32(control + STRUCTS.cmsghdr.size, fd, true);
  scratch.bytes.set(bytes, data);
  return trySyscall("sendmsg", socket, at, MSG_NOSIGNAL);
}

export interface TerminalSize {
  cols: number;
  rows: number;
}

/** `int ioctl(int fd, TIOCSWINSZ, const struct winsize *)`: 0 or -errno. @see TIOCSWINSZ(2const) */
export function setTerminalSize(fd: number, { cols, rows }: TerminalSize): number {
  const TIOCSWINSZ = 0x5414;
  scratch.bytes.set(struct("winsize", { ws_col: cols, ws_row: rows }));
  return trySyscall("ioctl", fd, TIOCSWINSZ, scratch.address);
}

/** `int ioctl(int fd, TIOCGWINSZ, struct winsize *)`: undefined where it is no terminal. @see TIOCGWINSZ(2const) */
export function terminalSize(fd: number): TerminalSize | undefined {
  const TIOCGWINSZ = 0x5413;
  if (trySyscall("ioctl", fd, TIOCGWINSZ, scratch.address) < 0) return undefined;
  const at = (field: "ws_col" | "ws_row") => scratch.view.getUint16(offsetOf("winsize", field), true);
  return { cols: at("ws_col"), rows: at("ws_row") };
}

/** `int ioctl(int fd, TCGETS, struct termios *)`: undefined where it is no terminal. @see TCGETS(2const) */
export function terminalSettings(fd: number): Uint8Array | undefined {
  const TCGETS = 0x5401;
  if (trySyscall("ioctl", fd, TCGETS, scratch.address) < 0) return undefined;
  return scratch.bytes.slice(0, STRUCTS.termios.size);
}

/** `int ioctl(int fd, TCSETSW, const struct termios *)`: 0 or -errno. @see TCSETSW(2const) */
export function setTerminalSettings(fd: number, settings: Uint8Array): number {
  const TCSETSW = 0x5403;
  scratch.bytes.set(settings);
  return trySyscall("ioctl", fd, TCSETSW, scratch.address);
}

/**
 * `int ioctl(int fd, TIOCGPTPEER, int flags)`, and a byte from there: a read of the master that blocks another thread
 * returns, which closing it does not do. @see TIOCGPTPEER(2const)
 */
export function wakeTerminalReader(master: number): void {
  const [TIOCGPTPEER, O_WRONLY_NOCTTY_NONBLOCK] = [0x5441, 1 | 0o400 | 0o4000];
  const peer = trySyscall("ioctl", master, TIOCGPTPEER, O_WRONLY_NOCTTY_NONBLOCK | O_CLOEXEC);
  if (peer < 0) return;
  write(peer, new Uint8Array(1));
  close(peer);
}

/** `int fcntl(int fd, F_SETFL, … | O_NONBLOCK)` @see F_SETFL(2const) */
export function setNonBlocking(fd: number): void {
  const [F_GETFL, F_SETFL] = [3, 4];
  const status = trySyscall("fcntl", fd, F_GETFL);
  trySyscall("fcntl", fd, F_SETFL, status | O_NONBLOCK);
}

/** `int flock(int fd, LOCK_EX | LOCK_NB)`: false where somebody else has it. @see flock(2) */
export function lockFile(fd: number): boolean {
  const LOCK_EX_NB = 2 | 4;
  return trySyscall("flock", fd, LOCK_EX_NB) === 0;
}

/**
 * `int inotify_init1(IN_CLOEXEC)` and `inotify_add_watch` of a directory that is held open: what is written in it, made,
 * moved and removed. -errno as `fd` where the kernel has no more of them. @see inotify(7)
 */
export function watchDirectory(directory: number, nonBlocking: boolean): { fd: number; watch: number } {
  const [IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ONLYDIR] = [
    2,
    0x80,
    0x100,
    0x200,
    0x400,
    2 ** 24,
  ];
  const fd = trySyscall("inotify_init1", O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0));
  if (fd < 0) return { fd, watch: -1 };
  const what = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR;
  const watch = trySyscall("inotify_add_watch", fd, path(`/proc/self/fd/${directory}`), what);
  if (watch >= 0) return { fd, watch };
  close(fd);
  return { fd: watch, watch };
}

/** `int inotify_rm_watch(int fd, int wd)`: who reads the descriptor is told, also where it was gone with its directory. */
export function unwatch(fd: number, watch: number): void {
  const [IN_DELETE_SELF, EINVAL] = [0x400, 22];
  if (trySyscall("inotify_rm_watch", fd, watch) !== -EINVAL) return;
  trySyscall("inotify_rm_watch", fd, trySyscall("inotify_add_watch", fd, path("/"), IN_DELETE_SELF));
}
