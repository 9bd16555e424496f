/**
 * A process that makes system calls for this one, many at a time, while this one goes on: calls are written as records
 * into memory that both share, and walked by the executor there. It uses no JavaScript, costs 0.1 ms to make (measured)
 * and has a file mode mask, credentials and descriptors of its own.
 *
 *      0         64 KiB    │ 68 KiB                                    │
 *      its loop  constants │ head, slots │ ops A │ ops B │ ops of one  │ data A │ data B │ data of one
 *
 * While it walks A, B is written, and the other way round.
 * @module
 */
import { close } from "./calls.ts";
import { socketPair } from "./unix-sockets.ts";
import { TsboxError } from "./error.ts";
import { mapArena, runProgram, systemError, trySyscall, unmapArena, type Arena } from "./kernel.ts";
import { ARCH, numberOf, type SyscallName } from "./numbers.ts";
import { buffer, HEAD_BYTES, OP_BYTES, Program, ref, SLOTS_AT, structure, words, type Plan } from "./program.ts";
import { encoder } from "./scratch.ts";

const LOOP_BYTES = 64 * 1024;
const CONSTANT_BYTES = 4096;
const [OPS, DATA_BYTES] = [4096, 1024 * 1024];
/** Of calls that are made one at a time. */
const [SINGLE_OPS, SINGLE_BYTES] = [8, 160 * 1024];
const HEAD = LOOP_BYTES + CONSTANT_BYTES;
const OPS_AT = HEAD + HEAD_BYTES;
const DATA_AT = OPS_AT + (2 * OPS + SINGLE_OPS) * OP_BYTES;
const SINGLE = 2 * OPS;
const SINGLE_DATA = DATA_AT + 2 * DATA_BYTES;
const ARENA_BYTES = SINGLE_DATA + SINGLE_BYTES;
/** Slots that a single call uses. */
const RESULT = 255;

const [END, FAIL, JUMP_IF] = [-1, -7, -5];
const ENOSPC = 28;
const MSG_NOSIGNAL = 0x4000;
const EINTR = 4;
const SHUT_WR = 1;

/** A call that failed; where the walk goes on is for its owner to say. */
export interface FailedCall<Owner> {
  /** What the caller gave with the call. */
  kind: number;
  owner: Owner;
  errno: number;
  /** Index of the call. */
  at: number;
}

export interface Walked<Owner> {
  /** @returns the index of the op to go on with: that of the call itself, to make it once more */
  failed(call: FailedCall<Owner>): number;
  /** All calls have been made that were written before {@link Walker.mark} was called with this. */
  reached(owner: Owner): void;
}

interface Half<Owner> {
  firstOp: number;
  data: number;
  ops: number;
  bytes: number;
  owners: Owner[];
  marks: { at: number; owner: Owner }[];
  marked: number;
}

/** What the process does: a request is where to begin, the answer what `run` gave. */
function loopPlan(flags: number): Plan {
  const [CLONE_VM, CLONE_CLEAR_SIGHAND, SIGCHLD, STACK_BYTES] = [0x100, 0x1_0000_0000, 17, 16384];
  const all = flags + CLONE_VM + CLONE_CLEAR_SIGHAND;
  const args = structure("clone_args", "clone_args", { flags: all, exit_signal: SIGCHLD, stack_size: STACK_BYTES });
  args.pointers = [{ offset: 40, to: buffer("stack", STACK_BYTES, 16) }];
  const [saved, request, reply] = [buffer("signals", 8), buffer("request", 16), buffer("reply", 8)];
  const ops: Plan[number]["ops"] = [
    { call: "rt_sigprocmask", args: [0, words("all signals", -1), saved, 8] },
    { call: "spawn", args: [args, 88], label: "child", out: "pid", onError: "ignore" },
    { call: "rt_sigprocmask", args: [2, saved, 0, 8] },
    { call: "end", args: [] },
    { call: "label", args: [], label: "child" },
    // it has this process's end as well, and would never see that one gone
    { call: "close", args: [ref("owner")], onError: "ignore" },
    { call: "label", args: [], label: "next" },
    { call: "read", args: [ref("socket"), request, 16], out: "count", onError: "ignore" },
    { call: "jumpIf", args: [ref("count"), 16, 1], label: "over" },
    { call: "load", args: [request, 8], out: "program" },
    { call: "load", args: [{ at: request, offset: 8 }, 8], out: "first" },
    { call: "run", args: [ref("program"), ref("first")], out: "result", onError: "ignore" },
    { call: "store", args: [reply, ref("result"), 8] },
    { call: "write", args: [ref("socket"), reply, 8], onError: "ignore" },
    { call: "jump", args: [], label: "next" },
    { call: "label", args: [], label: "over" },
    { call: "exit_group", args: [0] },
  ];
  return [{ action: "make calls for another process", ops }];
}

export class Walker<Owner> implements Disposable {
  readonly pid: number;
  readonly #arena: Arena;
  readonly #words: Int32Array;
  readonly #socket: number;
  readonly #walked: Walked<Owner>;
  readonly #halves: [Half<Owner>, Half<Owner>];
  #filling: Half<Owner>;
  #walking: Half<Owner> | undefined;
  #constants = LOOP_BYTES;
  #singleBytes = 0;
  #over = false;

  /**
   * @param kept descriptors that the process keeps; it has no others
   * @param flags of clone(2), for namespaces of its own
   */
  constructor(kept: number[], walked: Walked<Owner>, flags = 0) {
    this.#walked = walked;
    this.#arena = mapArena(ARENA_BYTES);
    this.#words = new Int32Array(this.#arena.bytes.buffer);
    this.#halves = [half(0, DATA_AT), half(OPS, DATA_AT + DATA_BYTES)];
    this.#filling = this.#halves[0];
    const [ours, theirs] = socketPair();
    this.#socket = ours;
    try {
      const program = new Program(loopPlan(flags), ARCH);
      program.write(this.#arena.bytes, this.#arena.view, this.#arena.address, { socket: theirs, owner: ours }, -1);
      runProgram(this.#arena.address, 0);
      this.pid = program.result(this.#arena, "pid");
      if (this.pid < 0) throw systemError("clone a process that makes calls", "clone3", -this.pid);
    } catch (error) {
      close(ours);
      unmapArena(this.#arena);
      throw error;
    } finally {
      close(theirs);
    }
    this.#arena.view.setInt32(HEAD + 8, -1, true);
    const left = [theirs, ...kept].toSorted((a, b) => a - b);
    left.forEach((fd, index) => this.#closeRange((left[index - 1] ?? -1) + 1, fd - 1));
    this.#closeRange((left.at(-1) as number) + 1, 0xffffffff);
    this.single("umask", 0);
  }

  #closeRange(first: number, last: number): void {
    if (first <= last) this.single("close_range", first, last, 0);
  }

  /** Makes sure that so many calls, and so many bytes for them, lie together. */
  reserve(ops: number, bytes: number): void {
    if (this.#filling.ops + ops >= OPS || this.#filling.bytes + bytes > DATA_BYTES) this.flush();
  }

  /** Index of the next call. */
  get next(): number {
    return this.#filling.firstOp + this.#filling.ops;
  }

  /** How many bytes there is room for without waiting. */
  get roomBytes(): number {
    return DATA_BYTES - this.#filling.bytes;
  }

  /**
   * Writes a call.
   * @param out the slot of its result
   * @param refs bit i: argument i is a slot
   */
  // oxlint-disable-next-line max-params
  call(kind: number, owner: Owner, nr: number, out: number, refs: number, a = 0, b = 0, c = 0, d = 0, e = 0): void {
    const { firstOp, ops, owners } = this.#filling;
    this.#filling.ops++;
    owners[ops] = owner;
    const at = this.#record(firstOp + ops, nr, out | (refs << 16), kind);
    this.#setWord(at, a);
    this.#setWord(at + 2, b);
    this.#setWord(at + 4, c);
    this.#setWord(at + 6, d);
    this.#setWord(at + 8, e);
  }

  /** Writes calls that write `bytes` to the file in a slot: a short write is a failure of the third op, ENOSPC. */
  write(
    kind: number,
    owner: Owner,
    file: number,
    count: number,
    address: number,
    length: number,
    offset: number,
  ): void {
    const at = this.next;
    this.call(kind, owner, numberOf("pwrite64"), count, 1, file, address, length, offset);
    this.call(kind, owner, JUMP_IF, 0, 1, count, length, 0);
    this.#words[(OPS_AT + (at + 1) * OP_BYTES) / 4 + 2] = at + 3;
    this.call(kind, owner, FAIL, 0, 0, ENOSPC);
  }

  /** Of a write that was short, as above: the rest of it. @returns the index to go on with; undefined where it was not short */
  rest(at: number, count: number): number | undefined {
    const op = (OPS_AT + (at - 2) * OP_BYTES) / 4;
    if (this.#words[(OPS_AT + at * OP_BYTES) / 4] !== FAIL) return undefined;
    const done = this.slot(count);
    if (done <= 0) return undefined;
    const [address, length, offset] = [6, 8, 10].map((word) => this.#word(op + word)) as [number, number, number];
    this.#setWord(op + 6, address + done);
    this.#setWord(op + 8, length - done);
    this.#setWord(op + 10, offset + done);
    this.#setWord(op + OP_BYTES / 4 + 6, length - done);
    return at - 2;
  }

  #record(index: number, nr: number, meta: number, kind: number): number {
    const at = (OPS_AT + index * OP_BYTES) / 4;
    this.#words[at] = nr;
    this.#words[at + 1] = meta;
    this.#words[at + 2] = 0;
    this.#words[at + 3] = kind;
    return at + 4;
  }

  #setWord(at: number, value: number): void {
    this.#words[at] = value | 0;
    this.#words[at + 1] = value >= 0 && value < 0x100000000 ? 0 : Math.floor(value / 0x100000000);
  }

  #word = (at: number): number => (this.#words[at + 1] as number) * 0x100000000 + ((this.#words[at] as number) >>> 0);

  /** All before has been done when {@link Walked.reached} tells. */
  mark(owner: Owner): void {
    this.#filling.marks.push({ at: this.next, owner });
  }

  /** Copies bytes to where calls that are written now find them. @returns their address */
  place(bytes: Uint8Array): number {
    const at = this.#filling.data + this.#filling.bytes;
    this.#arena.bytes.set(bytes, at);
    this.#filling.bytes += (bytes.length + 7) & ~7;
    return this.#arena.address + at;
  }

  /** The same for a path, with a NUL behind it. `text.length * 3 + 8` bytes have to be there. */
  placeText(text: string): number {
    const at = this.#filling.data + this.#filling.bytes;
    const length = this.#arena.bytes.length;
    let end = at;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code >= 0x80 || end >= length) {
        end = at + encoder.encodeInto(text, this.#arena.bytes.subarray(at, at + text.length * 3)).written;
        break;
      }
      this.#arena.bytes[end++] = code;
    }
    this.#arena.bytes[end] = 0;
    this.#filling.bytes += (end - at + 8) & ~7;
    return this.#arena.address + at;
  }

  /** Two times: seconds and nanoseconds of each. */
  placeTimes(accessed: Time, modified: Time): number {
    const at = this.#filling.data + this.#filling.bytes;
    this.#setWord(at / 4, accessed.seconds);
    this.#setWord(at / 4 + 2, accessed.nanoseconds);
    this.#setWord(at / 4 + 4, modified.seconds);
    this.#setWord(at / 4 + 6, modified.nanoseconds);
    this.#filling.bytes += 32;
    return this.#arena.address + at;
  }

  /** Bytes that stay. */
  constant(bytes: Uint8Array): number {
    const at = this.#constants;
    if (at + bytes.length > HEAD) throw new RangeError("constants of a walker");
    this.#arena.bytes.set(bytes, at);
    this.#constants += (bytes.length + 7) & ~7;
    return this.#arena.address + at;
  }

  /** Has what was written walked, once the other half is done. */
  flush(): void {
    if (this.#filling.ops === 0 && this.#filling.marks.length === 0) return;
    this.settle();
    const half = this.#filling;
    this.#record(half.firstOp + half.ops, END, 0, 0);
    this.#send(half.firstOp);
    this.#walking = half;
    this.#filling = half === this.#halves[0] ? this.#halves[1] : this.#halves[0];
  }

  /** Waits until all that was flushed is done. */
  settle(): void {
    const half = this.#walking;
    if (!half) return;
    for (let errno; (errno = -this.#receive()) > 0;) {
      const at = this.#arena.view.getUint32(HEAD + 12, true);
      const kind = this.#arena.view.getUint32(HEAD, true) - 1;
      this.#reach(half, at);
      const owner = half.owners[at - half.firstOp] as Owner;
      this.#send(this.#walked.failed({ kind, owner, errno, at }));
    }
    this.#reach(half, half.firstOp + half.ops);
    half.ops = half.bytes = half.marked = 0;
    half.marks.length = 0;
    this.#walking = undefined;
  }

  #reach(half: Half<Owner>, at: number): void {
    for (; half.marked < half.marks.length; half.marked++) {
      const mark = half.marks[half.marked] as { at: number; owner: Owner };
      if (mark.at > at) return;
      this.#walked.reached(mark.owner);
    }
  }

  /** A result. */
  slot(slot: number): number {
    return this.#word((HEAD + SLOTS_AT) / 4 + slot * 2);
  }

  setSlot(slot: number, value: number): void {
    this.#setWord((HEAD + SLOTS_AT) / 4 + slot * 2, value);
  }

  /**
   * Makes one call at once, only while nothing else is walked: before the first flush, after {@link settle}, or while
   * a failed call is looked into. Strings and bytes are placed. @returns -errno on failure
   */
  single(name: SyscallName, ...args: (number | string | Uint8Array)[]): number {
    this.#singleBytes = 0;
    const at = this.#record(SINGLE, numberOf(name), RESULT | (1 << 8), 0);
    for (let index = 0; index < 6; index++) {
      const arg = args[index] ?? 0;
      this.#setWord(at + index * 2, typeof arg === "number" ? arg : this.#placeSingle(arg));
    }
    this.#record(SINGLE + 1, END, 0, 0);
    this.#send(SINGLE);
    this.#receive();
    return this.slot(RESULT);
  }

  /** The address of something that stays until the next single call places something. */
  #placeSingle(what: string | Uint8Array): number {
    const bytes = typeof what === "string" ? encoder.encode(`${what}\0`) : what;
    const at = SINGLE_DATA + BUFFER_BYTES + this.#singleBytes;
    if (this.#singleBytes + bytes.length > SINGLE_BYTES - BUFFER_BYTES - 64)
      throw new TsboxError("make a call: its arguments are too long", { code: "system", errno: 36 });
    this.#arena.bytes.set(bytes, at);
    this.#singleBytes += (bytes.length + 7) & ~7;
    return this.#arena.address + at;
  }

  /** Memory that single calls write to, 64 KiB; and what it holds. */
  get bufferAddress(): number {
    return this.#arena.address + SINGLE_DATA;
  }

  get buffer(): Uint8Array {
    return this.#arena.bytes.subarray(SINGLE_DATA, SINGLE_DATA + BUFFER_BYTES);
  }

  /** Has a program of the caller's walked, at once, while nothing else is. @returns what `run` gave */
  run(address: number, first: number): number {
    this.#send(first, address);
    return this.#receive();
  }

  #send(first: number, program = this.#arena.address + HEAD): void {
    const request = SINGLE_DATA + SINGLE_BYTES - 32;
    this.#setWord(request / 4, program);
    this.#setWord(request / 4 + 2, first);
    const sent = trySyscall("sendto", this.#socket, this.#arena.address + request, 16, MSG_NOSIGNAL);
    if (sent !== 16) throw this.#gone();
  }

  #receive(): number {
    const reply = SINGLE_DATA + SINGLE_BYTES - 16;
    for (;;) {
      const count = trySyscall("read", this.#socket, this.#arena.address + reply, 8);
      if (count === -EINTR) continue;
      if (count !== 8) throw this.#gone();
      return this.#word(reply / 4);
    }
  }

  #gone(): TsboxError {
    return new TsboxError("make calls in another process: it was killed", { code: "system" });
  }

  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    // it reads the end of file when it is done with what it has, although others may have a copy of this end: a process
    // that is being started has, which waits for this thread
    trySyscall("shutdown", this.#socket, SHUT_WR);
    close(this.#socket);
    for (;;) {
      const result = trySyscall("wait4", this.pid, 0, 0);
      if (result !== -EINTR) break;
    }
    unmapArena(this.#arena);
  }
}

export interface Time {
  seconds: number;
  nanoseconds: number;
}

const BUFFER_BYTES = 64 * 1024;

const half = <Owner>(firstOp: number, data: number): Half<Owner> => ({
  firstOp,
  data,
  ops: 0,
  bytes: 0,
  owners: [],
  marks: [],
  marked: 0,
});
