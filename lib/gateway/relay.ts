/**
 * Bytes between two connections, both ways, as fast as the slower side takes them: they go through a pipe and never
 * through this program's memory.
 * @module
 * @see splice(2)
 */
import * as sys from "../../syscalls/index.ts";
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../syscalls/index.ts";
import type { Loop } from "../loop/index.ts";
import { PACE_MS, type Direction } from "./pace.ts";
import { bytesOf, type Holder, type Pipe, type Pipes } from "./pipes.ts";

const EAGAIN = 11;
/** Of one direction in a turn, before others have theirs. */
const MAX_ROUNDS = 16;
/** Who has no pipe, as there are too many, looks again after this. */
const PIPE_MS = 50;

interface Side {
  fd: number;
  readable: boolean;
  writable: boolean;
  /** Nothing more comes. */
  ended: boolean;
  /** Nothing more goes. */
  shut: boolean;
  /** What has come from it and is on its way. */
  pipe: Pipe | undefined;
  waiting: number;
}

const sideOf = (fd: number): Side => ({
  fd,
  readable: true,
  writable: true,
  ended: false,
  shut: false,
  pipe: undefined,
  waiting: 0,
});

export interface RelayOptions {
  /** Whose pipes it uses. */
  holder: Holder;
  /** So much may go in or out of the sandbox now. */
  left?: (direction: Direction) => number;
  /** So much has gone in or out of the sandbox. */
  moved?: (direction: Direction, bytes: number) => void;
  ended: () => void;
}

/** Takes two connected sockets over. */
export class Relay {
  readonly #loop: Loop;
  readonly #pipes: Pipes;
  readonly #inner: Side;
  readonly #outer: Side;
  readonly #options: RelayOptions;
  #again = false;
  #isPaced = false;
  #over = false;

  /** @param inner the sandbox's */
  constructor(loop: Loop, pipes: Pipes, inner: number, outer: number, options: RelayOptions) {
    this.#loop = loop;
    this.#pipes = pipes;
    this.#inner = sideOf(inner);
    this.#outer = sideOf(outer);
    this.#options = options;
  }

  begin(): void {
    for (const side of [this.#inner, this.#outer]) {
      sys.setOption(side.fd, sys.SOL_TCP, sys.TCP_NODELAY, 1);
      const events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      this.#loop.add(side.fd, events, (told) => this.#told(side, told));
    }
    this.#pump();
  }

  /** Both sides are told that the connection has broken. */
  reset(): void {
    this.#end(true);
  }

  #told(side: Side, events: number): void {
    // what had arrived is lost with the connection
    if (events & EPOLLERR) return void this.#end(true);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) side.readable = true;
    if (events & (EPOLLOUT | EPOLLHUP)) side.writable = true;
    this.#pump();
  }

  #pump(): void {
    if (this.#over) return;
    const more = [this.#move(this.#inner, this.#outer, "out"), this.#move(this.#outer, this.#inner, "in")];
    if (this.#over) return;
    if (this.#inner.shut && this.#outer.shut) return void this.#end(false);
    if (!more.includes(true) || this.#again) return;
    // others have their turn first
    this.#again = true;
    this.#loop.after(0, () => {
      this.#again = false;
      this.#pump();
    });
  }

  /** More may go a little later. */
  #wait(side: Side, delayMs: number): false {
    if (!this.#isPaced) {
      this.#isPaced = true;
      this.#loop.after(delayMs, () => {
        this.#isPaced = false;
        this.#pump();
      });
    }
    return this.#rest(side);
  }

  /** @returns whether there may be more to do at once */
  #move(from: Side, to: Side, direction: Direction): boolean {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      if (from.waiting > 0) {
        if (!to.writable) return false;
        const moved = sys.splice((from.pipe as Pipe).read, to.fd, from.waiting);
        if (moved === -EAGAIN) to.writable = false;
        if (moved === -EAGAIN) return false;
        if (moved <= 0) return this.#end(true);
        from.waiting -= moved;
        if (from.waiting > 0) continue;
      }
      if (from.ended) return this.#shut(from, to);
      if (!from.readable) return this.#rest(from);
      const left = this.#options.left?.(direction) ?? Infinity;
      if (left <= 0) return this.#wait(from, PACE_MS);
      const pipe = from.pipe ?? this.#pipes.take(this.#options.holder);
      if (pipe === undefined) return this.#wait(from, PIPE_MS);
      if (typeof pipe === "number") return this.#end(true);
      from.pipe = pipe;
      // with an empty pipe, EAGAIN can only be the socket's
      const moved = sys.splice(from.fd, pipe.write, Math.min(left, bytesOf(pipe)));
      if (moved === -EAGAIN) from.readable = false;
      else if (moved < 0) return this.#end(true);
      else if (moved === 0) from.ended = true;
      else {
        from.waiting = moved;
        this.#options.moved?.(direction, moved);
      }
    }
    return true;
  }

  #rest(side: Side): false {
    if (side.pipe && side.waiting === 0) {
      this.#pipes.give(side.pipe, this.#options.holder, true);
      side.pipe = undefined;
    }
    return false;
  }

  #shut(from: Side, to: Side): false {
    if (!to.shut) sys.shutdownSocket(to.fd, sys.SHUT_WR);
    to.shut = true;
    return this.#rest(from);
  }

  #end(broken: boolean): false {
    if (this.#over) return false;
    this.#over = true;
    for (const side of [this.#inner, this.#outer]) {
      this.#loop.remove(side.fd);
      if (broken) sys.resetSocket(side.fd);
      else sys.close(side.fd);
      if (side.pipe) this.#pipes.give(side.pipe, this.#options.holder, side.waiting === 0);
      side.pipe = undefined;
    }
    this.#options.ended();
    return false;
  }
}
