/**
 * A process in a sandbox that makes system calls for its owner: what it may do is what the sandbox's own user may, in the
 * sandbox's root filesystem and within its limits. What it answers comes from inside, and is looked at as such.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { errnoName, runtime, TsboxError, type Op, type Program, type Receiver } from "../../syscalls/index.ts";
import { AGENT, agentRequest, ECANCELED, requestBytes } from "../plan/index.ts";
import { unlessAborted } from "./abort.ts";
import { bury, type Launched, type Told } from "../launch/index.ts";
import { concatenate } from "./pipes.ts";

const { results: RESULTS, firstResult: FIRST_RESULT } = AGENT;
/** How long an agent waits for more to do. */
const IDLE_MS = 100;
/** What is sent at a time fits into the buffer of every socket. */
const PART_BYTES = 65536;

const KILLED =
  "something inside has killed it, or the kernel for the memory limit; where the box goes on, the next call starts another";

/** A call that failed in the sandbox. */
export interface Failed {
  call: string;
  errno: number;
}

/** What came of a request. */
export class Reply {
  readonly failed: Failed | undefined;
  /** The outbox. */
  readonly bytes: Uint8Array;
  readonly #results: BigInt64Array;
  readonly #program: Program;

  constructor(ops: Op[], program: Program, results: BigInt64Array, bytes: Uint8Array) {
    this.bytes = bytes;
    this.#results = results;
    this.#program = program;
    for (const { call, out } of ops) {
      if (out === undefined || call === "load") continue;
      const result = this.get(out);
      if (result < 0 && result !== -ECANCELED) this.failed ??= { call, errno: -result };
    }
  }

  /** The result of the op with this `out`; -ECANCELED where one before it failed. */
  get(out: string): number {
    return Number(this.word(out));
  }

  word(out: string): bigint {
    return this.#results[this.#program.slot(out) - FIRST_RESULT] ?? 0n;
  }
}

export interface Request {
  /** The result that is named `bytes` is how much of the outbox comes back. */
  ops: Op[];
  payload?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

interface Waiting {
  resolve(reply: { results: BigInt64Array; bytes: Uint8Array }): void;
  reject(error: unknown): void;
}

export class Agent {
  /** When nothing is left of it. */
  readonly ended: Promise<void>;
  readonly #fd: number;
  readonly #reply: number;
  readonly #receiver: Receiver;
  readonly #launched: Launched;
  readonly #finish: () => void;
  readonly #chunks: Uint8Array[] = [];
  #received = 0;
  #waiting: Waiting | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #users = 0;
  /** Descriptors of its own that nobody needs any more. */
  #unneeded: number[] = [];
  #idle: ReturnType<typeof setTimeout> | undefined;
  #over: Promise<TsboxError> | undefined;

  /** @param join starts it, with the socket as its stdin */
  constructor(join: (socket: number) => Launched & { program: Program }) {
    const [ours, theirs] = sys.socketPair();
    try {
      const launched = join(theirs);
      this.#launched = launched;
      this.#reply = launched.program.label("reply");
    } catch (error) {
      sys.close(ours);
      throw error;
    } finally {
      sys.close(theirs);
    }
    this.#fd = ours;
    ({ promise: this.ended, resolve: this.#finish } = Promise.withResolvers<void>());
    // why it ended is told over the other socket
    const ended = () => this.#end(this.#launched.control.told, KILLED);
    this.#receiver = runtime.receive(ours, (chunk) => this.#take(chunk), ended);
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** As long as somebody uses it, it does not end by itself. */
  use(): Disposable {
    this.#users++;
    clearTimeout(this.#idle);
    return {
      [Symbol.dispose]: () => {
        if (--this.#users === 0 && !this.#over) this.#idle = setTimeout(() => this.close(), IDLE_MS);
      },
    };
  }

  /** Makes calls, one request after another. @throws what `signal` gives as its reason; TsboxError where it has ended */
  async request({ ops, payload, signal }: Request): Promise<Reply> {
    signal?.throwIfAborted();
    using _ = this.use();
    const exchanged = this.#last.then(() => this.#exchange(ops, payload));
    // one that is not waited for any more is still answered, before the next
    this.#last = exchanged.catch(() => {});
    return await unlessAborted(exchanged, signal);
  }

  /** Closes one of its descriptors before whatever it does next, and soon where that is nothing. */
  closeSoon(fd: number): void {
    if (this.#unneeded.push(fd) > 1) return;
    setTimeout(() => {
      if (this.#unneeded.length > 0) this.request({ ops: [] }).catch(() => {});
    }, 0);
  }

  /** Ends it. */
  close(): void {
    // first: what is told of by the other may be a step that failed because the sandbox ends
    this.#end(Promise.resolve({}));
    this.#receiver.close();
  }

  async #exchange(ops: Op[], payload?: Uint8Array): Promise<Reply> {
    if (this.#over) throw await this.#over;
    const closes = this.#unneeded.splice(0).map((fd): Op => ({ call: "close", args: [fd], onError: "ignore" }));
    const program = agentRequest([...closes, ...ops], this.#reply);
    const answer = new Promise<{ results: BigInt64Array; bytes: Uint8Array }>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    answer.catch(() => {});
    await this.#send(requestBytes(program, payload));
    const { results, bytes } = await answer;
    return new Reply(ops, program, results, bytes);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const EAGAIN = 11;
    for (let at = 0; at < bytes.length && !this.#over;) {
      const sent = sys.send(this.#fd, bytes.subarray(at, at + PART_BYTES));
      if (sent > 0) at += sent;
      else if (sent === -EAGAIN) await new Promise((resolve) => setTimeout(resolve, 1));
      else return; // it has ended, which the receiver is told as well
    }
  }

  #take(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    if (this.#received < RESULTS * 8) return;
    const head = this.#chunks.length === 1 ? this.#chunks[0]! : concatenate(this.#chunks);
    this.#chunks.splice(0, this.#chunks.length, head);
    const results = new BigInt64Array(head.slice(0, RESULTS * 8).buffer);
    const size = Math.max(0, Math.min(Number(results[0]), AGENT.outboxBytes));
    if (this.#received < RESULTS * 8 + size) return;
    this.#chunks.length = 0;
    this.#received = 0;
    this.#waiting?.resolve({ results, bytes: head.subarray(RESULTS * 8, RESULTS * 8 + size) });
    this.#waiting = undefined;
  }

  #end(told: Promise<Told>, hint?: string): void {
    if (this.#over) return;
    clearTimeout(this.#idle);
    const message = "reach into the sandbox: the process there that does it has ended";
    this.#over = told.then(({ failure }) => failure ?? new TsboxError(message, { code: "sandbox_closed", hint }));
    void this.#over.then(async (error) => {
      this.#waiting?.reject(error);
      await bury(this.#launched);
      this.#finish();
    });
  }
}

/** `open "/x": ENOENT`, with the code and what can be done about it. */
export function fileError(action: string, { call, errno }: Failed, path: string): TsboxError {
  const name = errnoName(errno);
  const isNoFile = call === "openat2" && (name === "EISDIR" || name === "ENXIO");
  const why = isNoFile ? NOT_A_FILE : explain(name);
  return new TsboxError(`${action} "${path}": ${name}`, { ...why, errno, syscall: call, path });
}

/** A directory, a device, a fifo or a socket, which some calls open and others do not. */
export const NOT_A_FILE = {
  code: "file_refused",
  hint: "only regular files are read and written: anything else could wait for ever",
} as const;

function explain(errno: string): Pick<TsboxError, "code" | "hint"> {
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return { code: "file_not_found" };
    case "ELOOP":
    case "EXDEV":
      return { code: "file_refused", hint: "a symlink loop, or a magic link of /proc, which is not followed" };
    case "EACCES":
    case "EPERM":
      return { code: "permission_denied", hint: "files are read and written by the sandbox's own user" };
    case "EROFS":
      return {
        code: "permission_denied",
        hint: "what is mounted there is read-only: a tmpfs or a bind mount is needed",
      };
    case "EMFILE":
      return { code: "system", hint: "RLIMIT_NOFILE of the sandbox itself: ulimits.nofile" };
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return { code: "system", hint: "the sandbox's file system, or a limit of its processes, takes no more" };
    default:
      return { code: "system" };
  }
}
