/** Whoever starts containers tells netd, and starts it where there is none. Nobody waits for it. @module */
import {
  ARCH,
  close,
  closeAll,
  connectSocketNow,
  Descriptors,
  Directory,
  elfImage,
  ERRNO,
  listenIn,
  listenSocket,
  mapArena,
  MOST_PASSED,
  open,
  Program,
  receivePassed,
  runProgram,
  sealedFile,
  sendPassing,
  setNonBlocking,
  syscall,
  systemError,
  TsboxError,
  unmapArena,
  waitBriefly,
  type Passed,
} from "../../syscalls/index.ts";
import type { NameSockets, NetworkRecord, Watcher } from "../network/index.ts";
import { daemonSteps, guardSteps, type Executed } from "../plan/index.ts";
import { LINE_BYTES, lineOf, SOCKET, type Request } from "./control.ts";

/** So many may tell something before it is up. */
const BACKLOG = 4096;
const ANSWER_US = 5_000_000;
/** What it says of itself, where something is wrong. */
const LOG = "netd.log";

const [O_RDWR, O_WRONLY_CREAT, O_TRUNC, O_APPEND] = [2, 0o1 | 0o100, 0o1000, 0o2000];
/** Above the numbers that its descriptors get: 0 to 3, which is the socket that listens. */
const [F_DUPFD_CLOEXEC, ABOVE] = [1030, 10];

/** As `ps` shows it, and what starts another one so much later where it was killed. */
export const NAME = "tsbox-netd";
const AGAIN_MS = 1000;
/** The verb beside its own that does. */
const BEGIN = "begin";
/** What it is told: how often that has been, and when the one began that was killed. */
const [TRIES, BEGUN] = ["TSBOX_NETD_TRIES", "TSBOX_NETD_BEGUN"];
const [MOST_TRIES, SOON_MS] = [5, 60_000];

/** How it is executed. */
export type NetdCommand = Executed;

/**
 * Where too many wait to be heard it is told nothing, and looks by itself after a while.
 * @param fds stay the caller's
 * @returns false where there is none
 */
export function tellNetd(root: string, request: Request, fds: readonly number[] = []): boolean {
  const socket = connect(root);
  if (typeof socket !== "number") return socket === "busy";
  const sent = sendPassing(socket, lineOf(request), fds);
  close(socket);
  return sent > 0;
}

/**
 * The same, and where there is none, one is started; by whoever has the lock of the networks.
 * @throws TsboxError `unsupported`
 */
export function tellOrStart(
  root: string,
  command: () => NetdCommand | undefined,
  action: string,
  request: Request,
  fds: readonly number[] = [],
): void {
  if (tellNetd(root, request, fds)) return;
  const found = command();
  if (!found)
    throw new TsboxError(`${action}: there is no tsbox that could`, {
      code: "unsupported",
      hint: "put tsbox into PATH",
    });
  startNetd(root, found);
  tellNetd(root, request, fds);
}

/** Ports of a container of an ordinary user, which netd opens. @param sockets bound; they stay the caller's */
export function publishPorts(root: string, container: string, sockets: readonly number[]): void {
  for (let at = 0; at < sockets.length; at += MOST_PASSED)
    tellNetd(root, { verb: "publish", container }, sockets.slice(at, at + MOST_PASSED));
}

/** Whether there is one, which may still be about to begin. */
export function isNetdThere(root: string): boolean {
  const socket = connect(root);
  if (typeof socket === "number") close(socket);
  return socket !== undefined;
}

/** Waits for an answer. Undefined where there is none. */
export function askNetd(root: string, request: Request, fds: readonly number[] = []): Passed | undefined {
  const socket = connect(root);
  if (typeof socket !== "number") return undefined;
  try {
    if (sendPassing(socket, lineOf(request), fds) < 0) return undefined;
    waitBriefly(socket, ANSWER_US);
    const passed = receivePassed(socket, LINE_BYTES);
    return typeof passed === "number" || passed.bytes.length === 0 ? undefined : passed;
  } finally {
    close(socket);
  }
}

/** Undefined where nobody listens. */
function connect(root: string): number | "busy" | undefined {
  using directory = Directory.open(root);
  if (!directory) return undefined;
  try {
    return connectSocketNow(`/proc/self/fd/${directory.fd}/${SOCKET}`);
  } catch (error) {
    const { errno = 0 } = error as TsboxError;
    if (errno === ERRNO.EAGAIN) return "busy";
    if (errno === ERRNO.ENOENT || errno === ERRNO.ECONNREFUSED) return undefined;
    throw error;
  }
}

/** How often one was killed, each time soon after it had begun; 0 for whoever does not begin it again. */
function triesBefore({ [TRIES]: tries, [BEGUN]: begun } = process.env): number {
  return Date.now() - Number(begun) < SOON_MS ? Number(tries) || 0 : 0;
}

/** What is killed each time is not tried for ever. @throws TsboxError `system` */
export function checkTries(): void {
  if (triesBefore() <= MOST_TRIES) return;
  throw new TsboxError(`start what answers for names: it was killed ${MOST_TRIES + 1} times, each time soon`, {
    code: "system",
    hint: "the next container that starts tries it again",
  });
}

/** Only where there is none, by whoever has the lock of the networks. @throws TsboxError `system` */
function startNetd(root: string, command: NetdCommand): void {
  using directory = Directory.open(root);
  if (!directory) return;
  directory.remove(SOCKET);
  const listener = listenIn(directory.fd, SOCKET);
  using opened = new Descriptors();
  opened.add(listener);
  listenSocket(listener, BACKLOG);
  setNonBlocking(listener);
  const above = (fd: number) => opened.add(syscall("move a descriptor", "fcntl", fd, F_DUPFD_CLOEXEC, ABOVE));
  const tries = triesBefore();
  // why the one before was killed is not forgotten at once
  const flags = O_WRONLY_CREAT | (tries === 0 ? O_TRUNC : O_APPEND);
  const log = above(opened.add(open(`${root}/${LOG}`, flags, 0o600)));
  const nothing = above(opened.add(open("/dev/null", O_RDWR)));
  const passed = { in: nothing, out: nothing, log, listener: above(listener) };
  const count = Object.keys(passed).length;
  const env = [...command.env, `${TRIES}=${tries + 1}`, `${BEGUN}=${Date.now()}`];
  const again = { ...command, args: command.args.with(-1, BEGIN), env, delayMs: AGAIN_MS };
  const guard = elfImage(new Program(guardSteps(NAME, command, count, again), ARCH));
  const bound = { ...passed, guard: above(opened.add(sealedFile(NAME, guard))) };
  const daemon = { file: `/proc/self/fd/${count}`, args: [NAME], env: [] };
  const program = new Program(daemonSteps(daemon, Object.keys(bound)), ARCH);
  const arena = mapArena(program.size);
  try {
    program.write(arena.bytes, arena.view, arena.address, bound, -1);
    const result = runProgram(arena.address, 0);
    if (result < 0) throw systemError("start what answers for names", "clone3", -result);
  } finally {
    unmapArena(arena);
  }
}

/** Sees that somebody answers for the names of networks. */
export class NetdWatcher implements Watcher {
  readonly #root: () => string;
  readonly #command: () => NetdCommand | undefined;

  constructor(root: () => string, command: () => NetdCommand | undefined) {
    this.#root = root;
    this.#command = command;
  }

  /** @throws TsboxError `unsupported` */
  raised(network: NetworkRecord, isNew: boolean, openSockets: () => NameSockets): void {
    const root = this.#root();
    if (!isNew && tellNetd(root, { verb: "changed" })) return;
    // one that was killed has left nothing behind; and what is asked before another is up waits in these
    const { udp, tcp } = openSockets();
    const fds = [...udp, ...tcp];
    try {
      const request: Request = { verb: "serve", network: network.id, udp: udp.length };
      tellOrStart(root, this.#command, "answer for names", request, fds);
    } finally {
      closeAll(fds);
    }
  }

  changed(): void {
    tellNetd(this.#root(), { verb: "changed" });
  }
}
